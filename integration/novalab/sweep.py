"""A machine's cron, as far as the product needs one: it runs every job of one /etc/cron.d file, at the lab's pace.

    sweep.py CRON-FILE SECONDS

As cron does, it gives a job nothing but the file's own variables, starts it whether or not the last one has ended, and
sends what it prints somewhere (here: to this program's log). Unlike cron it takes every job as due each SECONDS.
"""

import subprocess
import sys
import time

SCHEDULE_FIELDS = 5


def parse(text: str) -> tuple[dict[str, str], list[str]]:
    """The variables and the commands of a file as in /etc/cron.d: five fields of time, a user, the command."""
    env, jobs = {}, []
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if equals and name.strip().isidentifier():
            env[name.strip()] = value.strip()
            continue
        words = line.split(None, SCHEDULE_FIELDS + 1)
        if len(words) < SCHEDULE_FIELDS + 2 or words[SCHEDULE_FIELDS] != "root":
            raise ValueError(f"no job of root: {line}")
        jobs.append(words[-1])
    return env, jobs


def main(path: str, seconds: float) -> None:
    """Sweeps until it is killed; for the first time when the machine has been up for one interval."""
    with open(path, encoding="utf-8") as file:
        env, jobs = parse(file.read())
    shell = env.get("SHELL", "/bin/sh")
    env = {"HOME": "/root", "LOGNAME": "root", **env}
    running = []
    while True:
        time.sleep(float(seconds))
        running = [child for child in running if child.poll() is None]
        running += [subprocess.Popen([shell, "-c", job], env=env, stdin=subprocess.DEVNULL) for job in jobs]


if __name__ == "__main__":
    main(*sys.argv[1:3])
