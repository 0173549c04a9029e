"""The passwords of a lab: the same well-known ones for all, or, with canaries, one of its own for each thing that has one.

A canary is fixed by the run's name and by whose it is, so that every process of a run knows it.
"""

import hashlib


class Words:
    """The passwords of one run."""

    def __init__(self, run: str, unique: bool) -> None:
        self.run_name = run
        self.unique = unique

    def word(self, whose: str, usual: str) -> str:
        """The password of a thing: `usual`, or one that nothing else in the world has."""
        if not self.unique:
            return usual
        # 16 letters and digits: an IPMI BMC takes no more than 20, and nothing writes these in another way.
        return "Cy" + hashlib.sha256(f"{self.run_name}/{whose}".encode()).hexdigest()[:14]
