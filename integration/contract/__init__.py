"""One contract, two clouds: what the simulated cloud must answer because real Nova does.

`cases.py` asks a cloud everything that the product's client asks, step by step through one host's death and return.
Asked of real Nova by the lab's tier *cloud* it gives `tests/data/nova-VERSION-answers.json`; asked of the simulated
cloud in the quick tier, each answer must have the status and the shape of the recorded one (`shape.py`). The other
half of the contract is `tests/nova_contract/`: the client's own calls against both.
"""
