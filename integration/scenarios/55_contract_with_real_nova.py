"""Real Nova answers as it is on record (which is what the simulated cloud is held to), and the client's own calls work
against it as they do against the simulated cloud."""

import json
import os

from contract import cases, shape
from novalab import contract_suite, paths
from novalab.openstack import control

SHAPE = {"cloud": "openstack", "hosts": ["node1", "node10"], "ha_nodes": ["ha1"], "product": False, "guests": 0,
         "targets": {"mode": "this_ha_node"}, "cloud_seed": {"evacuate_seconds": 0.5}}
TIME_LIMIT = 600
TESTS = ["nova_contract"]
RECORD = paths.REPO / "tests" / "data" / "nova-34.0.0-answers.json"


def run(lab):
    # To show that Nova would: the client's suite asks for one disk that is not there at 2.14.
    lab.may_be_rebuilt("rebuilt")
    stage = control.Stage(lab)
    found = cases.run(stage, patience=120)
    if os.environ.get("NOVA_HA_LAB_RECORD"):
        RECORD.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    wrong = shape.compare(json.loads(RECORD.read_text(encoding="utf-8")), found)
    assert not wrong, "Nova answers otherwise than recorded:\n" + "\n".join(wrong)
    stage.tell("fresh", None)
    contract_suite.run(lab, control.serve(stage))
