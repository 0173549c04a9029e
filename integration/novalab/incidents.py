"""What a scenario sees of incidents: read from Consul's keys, so that it needs no machine that lives.

The keys and records are the product's own (`src/keys.rs`, `src/incident/`). `nova-ha incident show ID --json` is asked
where the product's own view is the point.
"""

import base64
import json
import time
from dataclasses import dataclass, field

from novalab import wait, web
from novalab.product import paced

ROOT = "ha_cluster/incidents/"
# What a check opened, until an HA node takes it up.
OPENED = "ha_cluster/opened/"


@dataclass
class Incident:
    """One incident as its keys say."""

    id: str
    record: dict
    journal: list = field(default_factory=list)
    guests: dict = field(default_factory=dict)
    notes: dict = field(default_factory=dict)
    evidence: dict = field(default_factory=dict)
    # The session that holds the lock key, None where nobody does.
    lock_session: object = None

    @property
    def host(self):
        """The host that died."""
        return self.id.rpartition("@")[0]

    @property
    def state(self):
        """active, held, withdrawn, abandoned or closed."""
        return self.record["status"]["state"]["state"]

    @property
    def phase(self):
        """The last guarantee reached: open, claimed, fenced, ..."""
        return self.record["status"]["phase"]

    @property
    def reason(self):
        """Why it is held; empty otherwise."""
        return self.record["status"]["state"].get("reason", "")

    @property
    def holder(self):
        """The HA node that claimed it last, if any."""
        return self.record["holder"]

    @property
    def waiting(self):
        """Why the HA nodes cannot take it: `{ha node: [reason, ..]}`."""
        return {node: note["reasons"] for node, note in self.notes.items()}

    def is_at(self, word):
        """Whether a word describes it: a state, a phase, or `waiting`, as `nova-ha` calls it: nobody holds it and some HA node said why."""
        if word == "waiting":
            return self.state == "active" and self.lock_session is None and bool(self.notes)
        return word in (self.state, self.phase)

    def events(self, event, step=None):
        """The journal's events of a kind, of one step where one is named."""
        return [e["what"] for e in self.journal if e["what"]["event"] == event and step in (None, e["what"].get("step"))]

    def outcomes(self):
        """`{guest name: word}`."""
        return {name: guest["state"]["state"] for name, guest in self.guests.items()}

    def __str__(self):
        waiting = f", waiting: {self.waiting}" if self.notes else ""
        reason = f" ({self.reason})" if self.reason else ""
        return f"{self.id}: {self.state}{reason} at {self.phase}, holder {self.holder}{waiting}"


class Incidents:
    """The part of a Lab that looks at incidents."""

    def incident_ids(self, host=None):
        """The ids of all incidents, or of one host, oldest epoch first."""
        opened = {key[len(OPENED):] for key in self.consul.keys(OPENED)}
        found = opened | {key[len(ROOT):].split("/")[0] for key in self.consul.keys(ROOT)}
        # Beside them lies the sentinel, which is no incident's.
        found = [i for i in found if "@" in i and host in (None, i.rpartition("@")[0])]
        return sorted(found, key=lambda i: (i.rpartition("@")[0], int(i.rpartition("@")[2])))

    def incident(self, incident, index=None):
        """Reads one incident in one request; with `index` waits up to 2 s for something newer. None if it is not there."""
        query = f"?recurse&index={index}&wait=2s" if index else "?recurse&consistent"
        try:
            entries = self.consul.ask(f"/v1/kv/{ROOT}{incident}/{query}") or []
        except web.HttpError as error:
            if error.status == 404:
                return self._opened(incident)
            raise
        found = Incident(incident, {})
        for entry in entries:
            name = entry["Key"][len(ROOT) + len(incident) + 1:]
            text = base64.b64decode(entry["Value"] or "").decode("utf-8", "replace")
            if name == "incident":
                found.record = json.loads(text)
            elif name == "evidence":
                found.evidence = json.loads(text)
            elif name == "lock":
                found.lock_session = entry.get("Session")
            elif name.startswith("journal/"):
                found.journal.append(json.loads(text))
            elif name.startswith("guests/"):
                guest = json.loads(text)
                found.guests[guest["name"]] = guest
            elif name.startswith("preflight/"):
                found.notes[name.partition("/")[2]] = json.loads(text)
        found.index = max((e["ModifyIndex"] for e in entries), default=0)
        return found if found.record else self._opened(incident)

    def _opened(self, incident):
        """One that no HA node has taken up: as it begins."""
        text = self.consul.get(f"{OPENED}{incident}")
        if text is None:
            return None
        opening = json.loads(text)
        status = {"phase": "open", "started": None, "past_no_return": False, "state": {"state": "active"}}
        record = {"id": opening["incident"], "origin": opening["origin"], "order": None, "opened_by": opening["opened_by"],
                  "opened_at": opening["opened_at"], "changed_at": opening["opened_at"], "holder": None, "head": 0, "status": status}
        found = Incident(incident, record, evidence=opening["evidence"])
        found.index = None
        return found

    def incident_of(self, host):
        """The newest incident of a host, or None."""
        ids = self.incident_ids(host)
        return self.incident(ids[-1]) if ids else None

    def wait_incident(self, host, status=None, timeout=120):
        """Waits until a host has an incident, and it is at `status` where one is given: see Incident.is_at."""
        timeout = paced(timeout)
        last = [None]

        def look():
            last[0] = self.incident_of(host)
            return last[0] if last[0] and (status is None or last[0].is_at(status)) else None

        try:
            return wait.until(f"the incident of {host} is {status or 'there'}", look, timeout, 0.15)
        except wait.Timeout as error:
            raise wait.Timeout(f"{error}; the last that was seen: {last[0] or 'no incident'}") from None

    def wait_journal(self, host, event, step=None, timeout=120):
        """Returns the incident as soon as its journal has such an event: within milliseconds of the write."""
        timeout = paced(timeout)
        deadline = time.monotonic() + timeout
        incident = wait.until(f"{host} has an incident", lambda: self.incident_of(host), timeout)
        while not incident.events(event, step):
            if time.monotonic() > deadline or incident.state not in ("active", "held"):
                raise wait.Timeout(f"not within {timeout} s: {event} {step or ''} in the journal of {incident}")
            try:
                # Consul holds the answer back until something under the incident changes.
                incident = self.incident(incident.id, incident.index) or incident
            except OSError:
                # One slow answer, or an election: asked again until the deadline.
                time.sleep(0.2)
        return incident

    def never_marked(self, host, seconds):
        """Watches for a while that a host gets no incident and no failed flag."""
        wait.never(f"{host} is marked", lambda: self.incident_ids(host) or self.flag(host, "failed"), seconds, 0.3)

    def never_marked_again(self, host, seconds):
        """Watches for a while that a host that had incidents gets no further one."""
        known = self.incident_ids(host)
        wait.never(f"{host} is marked again", lambda: self.incident_ids(host) != known or self.flag(host, "failed"), seconds, 0.3)

    def observed(self, host):
        """What the observers wrote about a host: `{ha node: record}`; none of them writes anything about a healthy one."""
        prefix = f"ha_cluster/compute_nodes/{host}/internal/observers/"
        return {key[len(prefix):]: json.loads(self.consul.get(key)) for key in self.consul.keys(prefix)}

    def wait_votes(self, host, timeout=60):
        """Until a majority of the HA nodes has counted as many fails as the threshold, and gossip has lost the host too."""
        def voted():
            enough = [r for r in self.observed(host).values() if r["fails"] >= r["threshold"]]
            return len(enough) > len(self.ha_nodes) // 2 and self.consul.serf_health(host) == "critical"

        wait.until(f"{host} is voted dead", voted, paced(timeout), 0.5)

    def show(self, incident):
        """`nova-ha incident show ID --json`."""
        return self.admin("nova-ha", "incident", "show", incident, "--json").json()
