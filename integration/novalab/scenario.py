"""Scenarios: how they are found, and what one run of one consists of.

A scenario is a file `../scenarios/NN_name.py`:

    \"\"\"What it proves, in the first paragraph.\"\"\"
    SHAPE = {"guests": 4}              # optional: fields of cluster.Shape that differ
    MAY_BE_SHOT = ["compute1"]         # optional: whose power BMCs may be told to take
    TIME_LIMIT = 120                   # optional: seconds, bring-up and safety checks included; see product.paced
    TESTS = ["nova_contract"]          # optional: test targets that it runs, see contract_suite.py
    LONG = 20                          # optional: how often `--long` runs it, each time in a lab of its own
    def run(lab): ...                  # raises, as `assert` and `wait.until` do, where it does not hold
"""

import ast
import importlib.util
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from novalab import paths, verdict
from novalab.cluster import Lab, NotUp
from novalab.product import paced
from novalab.shape import shape_of

# Several labs share the machine: a bound, never a measure. A scenario that is on its own takes 15 to 60 s.
DEFAULT_LIMIT = 300


@dataclass
class Scenario:
    """One scenario file, read but not run."""

    name: str
    path: Path
    proves: str
    time_limit: float
    # disks: its machines have kernels of their own; cloud: it needs the real cloud; lab: any other.
    tier: str = "lab"
    real_cloud: bool = False
    # How often it is run in a row where `--long` is said.
    long: int = 1
    # Test targets of the product that it runs; built before the lab comes up.
    tests: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> "Scenario":
        """Reads the docstring and the time limit without running the file. Raises ValueError where it says nothing."""
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        proves = ast.get_docstring(tree)
        if not proves:
            raise ValueError(f"{path.name} does not open by saying what it proves")
        said = {node.targets[0].id: node.value for node in tree.body
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)}
        limit = ast.literal_eval(said["TIME_LIMIT"]) if "TIME_LIMIT" in said else DEFAULT_LIMIT
        shape = said.get("SHAPE")
        fields = {key.value: value for key, value in zip(getattr(shape, "keys", []), getattr(shape, "values", []))
                  if isinstance(key, ast.Constant)}
        words = {name: ast.literal_eval(fields[name]) for name in ("cloud", "machines") if name in fields}
        real = words.get("cloud") == "openstack"
        tier = "disks" if words.get("machines") == "uml" else "cloud" if real else "lab"
        return cls(path.stem, path, " ".join(proves.split("\n\n")[0].split()), paced(limit), tier, real,
                   ast.literal_eval(said["LONG"]) if "LONG" in said else 1,
                   tuple(ast.literal_eval(said["TESTS"])) if "TESTS" in said else ())

    def module(self) -> ModuleType:
        """Imports the file."""
        spec = importlib.util.spec_from_file_location(f"scenario_{self.name}", self.path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


def discover(only: str | None = None) -> list[Scenario]:
    """All scenarios in the order of their numbers; `only` takes those whose name contains it."""
    found = [Scenario.read(p) for p in sorted(paths.SCENARIOS.glob("[0-9]*.py"))]
    return [s for s in found if only is None or only in s.name]


def create(scenario: Scenario, owner: int) -> Lab:
    """A lab of the shape that the scenario wants, not yet up."""
    return Lab.create(shape_of(getattr(scenario.module(), "SHAPE", {})), owner=owner)


def play(scenario: Scenario, lab: Lab) -> list[str]:
    """Brings the lab up, runs the scenario and judges. Returns the sentences of what went wrong; empty is a pass.

    Raises NotUp where the lab does not come up: then nothing of the product was there, and there is nothing to judge.
    """
    module = scenario.module()
    lab.may_be_shot(*getattr(module, "MAY_BE_SHOT", []))
    wrong = []
    try:
        lab.up()
        module.run(lab)
    except NotUp:
        raise
    except Exception:  # Whatever a scenario raises is its failure, never the runner's.
        wrong.append(traceback.format_exc())
    try:
        wrong += verdict.violations(lab)
    except OSError as error:
        wrong.append(f"the safety checks could not be made: {error}")
    return wrong
