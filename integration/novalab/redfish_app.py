"""A Redfish BMC whose power is a latch of the lab: sushy-tools' emulator with a driver of ours.

    VENV/bin/python redfish_app.py STATE BMC

Runs in the venv, inside the BMC's namespace. The settings are in redfish.json of the BMC's folder. As on real
hardware and as in the emulator's own driver, a power command is answered before it has taken effect.
"""

import json
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from sushy_tools import error
from sushy_tools.emulator import main as emulator
from sushy_tools.emulator.resources.systems import fakedriver

from novalab import latch

COMMANDS = {"On": "on", "ForceOn": "on", "ForceOff": "off", "GracefulShutdown": "off", "ForceRestart": "reset",
            "GracefulRestart": "reset"}


class LatchDriver(fakedriver.FakeDriver):
    """The emulator's system resource, its power moved to the latch."""

    def get_power_state(self, identity):
        """On or Off: where the latch stands, or what a lying BMC says."""
        self._get(identity)
        return "On" if self._bmc().reads_on() else "Off"

    def set_power_state(self, identity, state):
        """Accepts the command; it takes effect a moment later."""
        self._get(identity)
        if state not in COMMANDS:
            raise error.NotSupportedError(f"Power state {state} is not supported")

        def later():
            time.sleep(self._config["LAB_DELAY"])
            self._bmc().command(COMMANDS[state], "redfish")

        threading.Thread(target=later, daemon=True).start()

    def _bmc(self):
        return latch.Bmc(self._config["LAB_STATE"], self._config["LAB_BMC"])


def main(state, name):
    """Serves until it is killed."""
    with open(os.path.join(state, "bmc", name, "redfish.json"), encoding="utf-8") as file:
        settings = json.load(file)
    fakedriver.FakeDriver = LatchDriver
    emulator.app.configure(extra_config={
        "SUSHY_EMULATOR_FAKE_DRIVER": True,
        "SUSHY_EMULATOR_FAKE_SYSTEMS": [{"uuid": settings["uuid"], "name": name, "power_state": "On",
                                         "nics": [{"mac": settings["mac"], "ip": settings["machine_address"]}]}],
        "SUSHY_EMULATOR_STATE_DIR": settings["state_dir"],
        "SUSHY_EMULATOR_AUTH_FILE": settings["auth_file"],
        "SUSHY_EMULATOR_LISTEN_IP": settings["address"], "SUSHY_EMULATOR_LISTEN_PORT": settings["port"],
        "SUSHY_EMULATOR_SSL_CERT": settings["certificate"], "SUSHY_EMULATOR_SSL_KEY": settings["key"],
        "LAB_STATE": state, "LAB_BMC": name, "LAB_DELAY": settings["delay"],
    })
    # The emulator reads the rest of its settings from argv; there is none.
    sys.argv = ["redfish-bmc"]
    return emulator.main()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
