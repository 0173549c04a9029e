"""`python3 -m simcloud --listen IP:PORT --seed FILE --log FILE`; port 0 takes a free one.

Prints one line with the base address once it answers, then serves until it is killed.
"""

import argparse
import json
import signal
import sys
import threading

from .httpd import Cloud


def main():
    parser = argparse.ArgumentParser(prog="simcloud", description="A simulated OpenStack cloud for the lab.")
    parser.add_argument("--listen", required=True, metavar="IP:PORT")
    parser.add_argument("--seed", required=True, metavar="FILE", help="JSON: hosts, ha_nodes, guests, timings")
    parser.add_argument("--log", metavar="FILE", help="JSON lines, one per request and event")
    parser.add_argument("--name", help="the host name that the catalog shows, if not the address")
    parser.add_argument("--tls-cert", metavar="FILE")
    parser.add_argument("--tls-key", metavar="FILE")
    args = parser.parse_args()
    ip, _, port = args.listen.rpartition(":")
    with open(args.seed) as file:
        seed = json.load(file)
    tls = (args.tls_cert, args.tls_key) if args.tls_cert else None
    cloud = Cloud((ip.strip("[]"), int(port)), seed, args.log, tls, args.name).start()
    print("simcloud listens on %s" % cloud.base, flush=True)
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    over.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
