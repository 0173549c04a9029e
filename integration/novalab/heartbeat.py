"""The nova-compute of a machine, as far as the simulated cloud can tell: a heartbeat every second.

    heartbeat.py HOST CLOUD-ADDRESS PORT

Each beat names the boot of the machine and the start of this process, because Nova behaves differently after a new
one of either. A beat that the cloud does not take is simply lost, as the real one's is while the message bus is away.
"""

import http.client
import json
import sys
import time


def main(host: str, address: str, port: str) -> None:
    """Beats until it is killed."""
    with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
        boot = file.read().strip()
    body = json.dumps({"host": host, "boot": boot, "start": f"{boot}:{time.monotonic():.6f}"})
    while True:
        started = time.monotonic()
        try:
            connection = http.client.HTTPConnection(address, int(port), timeout=2)
            connection.request("POST", "/_sim/heartbeat", body, {"Content-Type": "application/json"})
            connection.getresponse().read()
            connection.close()
        except (OSError, http.client.HTTPException) as error:
            print(f"beat lost: {error}", flush=True)
        time.sleep(max(0.05, 1 - (time.monotonic() - started)))


if __name__ == "__main__":
    main(*sys.argv[1:4])
