"""What each token of SECURITY.md's actors has to be refused by Consul, as data; see attackers.make_all.

The other things that it lets them do, and what follows from those, are in the scenarios.
"""

from novalab.attackers import ABSENT, DONE, Move, denied

# The compromised host, one that is well, one that really dies, and the HA nodes whose tokens are stolen, or not.
ME, OTHER, DEAD, HA, PEER = "compute1", "compute2", "compute3", "ha2", "ha1"
NAMES = {"me": ME, "other": OTHER, "dead": DEAD, "ha": HA, "peer": PEER}
RUNTIME, GUARD, AGENT = "nova-ha-runtime-info-{me}", "nova-ha-boot-guard-{me}", "nova-ha-agent-{me}"
PROBE, RECOVER, MARK = "nova-ha-probe-{ha}", "nova-ha-recover-{ha}", "nova-ha-mark-failed"
VIEWER, ON_CALL = "nova-ha-viewer", "nova-ha-on-call"
OF_THE_HOST = (RUNTIME, GUARD, AGENT)

BMC_SECRETS = [f"compute_nodes/{host}/config/{key}" for host in (ME, OTHER, DEAD) for key in ("bmc/password", "fence")]
SSH_SECRETS = [f"compute_nodes/{OTHER}/config/ssh/private_key", f"compute_nodes/{DEAD}/config/ssh/password",
               f"ha_nodes/{PEER}/config/ssh/private_key"]
# What says whose power is cut, whose guests are moved, what runs as root, and who is believed.
OF_A_HOST = ("fence", "bmc/ip", "bmc/password", "bmc/identity", "names", "bound", "agent", "storage", "storage_exec", "targets", "os_cloud",
             "nova_user", "ssh/host_key", "ssh/address", "ssh/private_key")
CONFIG = ["meta", "policy", "machines_added", f"ha_nodes/{PEER}/config/storage_exec", f"ha_nodes/{PEER}/config/bmc/ip",
          *(f"compute_nodes/{host}/config/{key}" for host in (ME, OTHER) for key in OF_A_HOST)]
PEOPLES = [f"orders/{OTHER}@0", *(f"words/{OTHER}@0/{key}" for key in ("confirm_off", "hold", "resume", "retry", "settled/GUEST"))]
# What a recovery alone writes down, and what else opens or stops one.
RECOVERS = ["incidents/meta", *(f"incidents/{OTHER}@0/{key}" for key in (
    "incident", "confirm_off", "lock", "term", "journal/00000001", "guests/GUEST", "gone/ha1", "reset"))]
OPENED = [*RECOVERS, f"opened/{OTHER}@0", "cooldown"]
FLAGS = [f"compute_nodes/{OTHER}/status/failed", f"compute_nodes/{OTHER}/status/recovered"]
USES = [f"ha_nodes/{PEER}/status/in_use", f"ha_nodes/{PEER}/internal/in_use_by", f"ha_nodes/{PEER}/internal/formats"]
CHECK = {"CheckID": "serfHealth", "Name": "Serf Health Status"}
REGISTER = "/v1/catalog/register"
# Of Consul itself: nobody but its administrators.
CONSULS = ["/v1/acl/tokens", "/v1/acl/policies", "/v1/snapshot", "/v1/operator/raft/configuration"]

MOVES = [
    # Nobody but an administrator writes configuration, and of Consul's own secrets nobody reads any.
    *(move for token in (*OF_THE_HOST, PROBE, RECOVER, MARK, VIEWER, ON_CALL) for move in (
        *denied(token, "put", *CONFIG), *denied(token, "delete", "meta", f"compute_nodes/{OTHER}/config/fence"),
        *denied(token, "GET", "/v1/acl/tokens", "/v1/snapshot"))),
    *(move for token in OF_THE_HOST for move in denied(token, "GET", *CONSULS)),
    *(move for token in (*OF_THE_HOST, PROBE, MARK, VIEWER, ON_CALL) for move in denied(token, "get", *BMC_SECRETS)),
    *(move for token in (*OF_THE_HOST, RECOVER, MARK, VIEWER, ON_CALL) for move in denied(token, "get", *SSH_SECRETS)),
    *(move for token in (*OF_THE_HOST, PROBE, VIEWER) for move in denied(token, "put", *PEOPLES, *OPENED, *FLAGS, *USES)),
    *denied(MARK, "put", *PEOPLES, *RECOVERS, *USES, f"compute_nodes/{OTHER}/status/recovered"),
    *denied(ON_CALL, "put", *FLAGS, *RECOVERS, *USES),
    *denied(RECOVER, "put", f"compute_nodes/{OTHER}/status/failed", f"ha_nodes/{PEER}/internal/formats"),
    # Each has its own record, and no other machine's.
    *denied(RUNTIME, "put", f"compute_nodes/{OTHER}/internal/runtime_config", f"compute_nodes/{ME}/internal/boot_guard",
            f"compute_nodes/{ME}/internal/epoch", f"compute_nodes/{ME}/internal/formats"),
    *denied(GUARD, "put", f"compute_nodes/{OTHER}/internal/boot_guard", f"compute_nodes/{ME}/internal/runtime_config",
            f"compute_nodes/{ME}/internal/returning", f"incidents/{ME}@0/incident"),
    *(move for token in (*OF_THE_HOST, MARK, RECOVER, VIEWER, ON_CALL)
      for move in denied(token, "put", f"compute_nodes/{OTHER}/internal/observers/{HA}", f"ha_nodes/{PEER}/internal/observers/{HA}")),
    *denied(PROBE, "put", f"compute_nodes/{OTHER}/internal/observers/{PEER}", f"ha_nodes/{HA}/internal/observers/{PEER}",
            f"compute_nodes/{OTHER}/internal/runtime_config", f"compute_nodes/{OTHER}/internal/epoch"),
    *denied(PROBE, "delete", f"compute_nodes/{DEAD}/internal/observers/{PEER}"),
    # It probes by these: SECURITY.md says that it reads them.
    *(Move(PROBE, "get", key, answer=DONE) for key in SSH_SECRETS[:2]),
    *denied(PROBE, "get", SSH_SECRETS[2]),
    Move(RECOVER, "get", f"compute_nodes/{OTHER}/config/bmc/password", answer=DONE),
    # An agent is itself and nobody else.
    Move(AGENT, "list", "", answer=ABSENT),
    Move(AGENT, "PUT", REGISTER, {"Node": OTHER, "Address": "10.77.1.2", "Check": {**CHECK, "Node": OTHER, "Status": "critical"}}),
    Move(AGENT, "PUT", REGISTER, {"Node": DEAD, "Address": "10.77.1.3", "Check": {**CHECK, "Node": DEAD, "Status": "passing"}}),
    Move(AGENT, "PUT", REGISTER, {"Node": PEER, "Address": "10.77.1.5", "Service": {"Service": "nova-ha"}}),
    Move(AGENT, "PUT", "/v1/catalog/deregister", {"Node": OTHER}),
    *denied(AGENT, "PUT", f"/v1/agent/force-leave/{OTHER}", "/v1/agent/leave", "/v1/event/fire/nova-ha"),
    # Locks are of the HA node's own session.
    *(Move(token, "PUT", "/v1/session/create", {"Node": PEER}) for token in (*OF_THE_HOST, PROBE, MARK, VIEWER, ON_CALL, RECOVER)),
]

# Which secrets a token may find in all that it can list.
MAY_READ = {PROBE: ("the login password of", "the private key of the login"), RECOVER: ("the BMC password of",)}
