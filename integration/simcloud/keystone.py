"""Keystone v3: tokens by password and application credential, with a catalog."""

import datetime
import secrets
import threading
import time

from .world import Refused

UNAUTHORIZED = "The request you have made requires authentication."


class Keystone:
    def __init__(self, seed, base):
        self.lock = threading.Lock()
        self.base = base
        self.ttl = float(seed.get("token_seconds", 3600))
        self.users = seed.get("users") or [{"name": "admin", "password": "secret", "project": "admin"}]
        self.credentials = seed.get("application_credentials") or [
            {"id": "lab-credential", "name": "lab", "secret": "lab-secret", "user": "admin", "project": "admin"}]
        self.catalog_spec = seed.get("catalog", {})
        self.tokens = {}
        # Of tokens whose user is no administrator: the project that they are for.
        self.members = {}
        self.issued = 0

    def catalog(self):
        """By the seed's `catalog`: {"compute": false} leaves compute out, {"placement": false} placement, {"region": NAME} renames."""
        region = self.catalog_spec.get("region", "RegionOne")
        interfaces = self.catalog_spec.get("interfaces", ["public", "internal", "admin"])

        def entry(kind, name, url):
            return {"type": kind, "name": name, "id": name, "endpoints": [
                {"id": "%s-%s" % (name, i), "interface": i, "region": region, "region_id": region, "url": url}
                for i in interfaces]}

        entries = [entry("identity", "keystone", self.base + "/v3")]
        if self.catalog_spec.get("compute", True):
            entries.append(entry("compute", "nova", self.base + "/compute/v2.1"))
        if self.catalog_spec.get("placement", True):
            entries.append(entry("placement", "placement", self.base + "/placement"))
        if self.catalog_spec.get("image", True):
            entries.append(entry("image", "glance", self.base + "/image"))
        return entries

    def authenticate(self, body):
        """(token, token body); Refused 400 or 401."""
        try:
            identity = body["auth"]["identity"]
            method = identity["methods"][0]
            if method == "password":
                user, project = self.by_password(identity["password"]["user"], body["auth"].get("scope"))
            elif method == "application_credential":
                user, project = self.by_credential(identity["application_credential"])
                if "scope" in body["auth"]:
                    raise Refused(401, "Application credentials cannot request a scope.")
            else:
                raise Refused(401, UNAUTHORIZED)
        except (KeyError, TypeError, IndexError, AttributeError):
            raise Refused(400, "Expecting to find auth in request body.") from None
        token = "gAAAA" + secrets.token_urlsafe(96)
        expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=self.ttl)
        with self.lock:
            self.tokens[token] = time.monotonic() + self.ttl
            if project and self.role_of(user) == "member":
                self.members[token] = project
            self.issued += 1
        answer = {"methods": [method], "expires_at": expires.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                  "issued_at": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                  "user": {"name": user, "id": user + "-id", "domain": {"id": "default", "name": "Default"}},
                  "audit_ids": [secrets.token_urlsafe(12)]}
        if project:
            answer.update(project={"name": project, "id": project + "-id",
                                   "domain": {"id": "default", "name": "Default"}},
                          roles=[{"id": "1", "name": self.role_of(user)}], is_domain=False, catalog=self.catalog())
        return token, {"token": answer}

    def role_of(self, user):
        """What a user of the seed is: an administrator where it does not say."""
        return next((known.get("role", "admin") for known in self.users if known["name"] == user), "admin")

    def member_of(self, token):
        """The project of a token that is no administrator's; None of one that is."""
        with self.lock:
            return self.members.get(token)

    @staticmethod
    def of_default_domain(thing):
        domain = thing.get("domain", {})
        return domain.get("id") == "default" or domain.get("name") == "Default"

    def by_password(self, user, scope):
        for known in self.users:
            named = user.get("id") == known["name"] + "-id" or (
                user.get("name") == known["name"] and self.of_default_domain(user))
            if named and user["password"] == known["password"]:
                break
        else:
            raise Refused(401, UNAUTHORIZED)
        if scope is None:
            return known["name"], None
        project = scope["project"]
        name = known["project"]
        if project.get("id") == name + "-id" or (project.get("name") == name and self.of_default_domain(project)):
            return known["name"], name
        raise Refused(401, UNAUTHORIZED)

    def by_credential(self, given):
        for known in self.credentials:
            named = given.get("id") == known["id"] or (
                given.get("name") == known["name"] and given.get("user", {}).get("name") == known["user"])
            if named and given["secret"] == known["secret"]:
                return known["user"], known["project"]
        raise Refused(401, UNAUTHORIZED)

    def check(self, token):
        with self.lock:
            until = self.tokens.get(token or "")
        if until is None or until < time.monotonic():
            raise Refused(401, UNAUTHORIZED)

    def revoke(self, token):
        """Refused 404 where it is no token (any more). Nova here forgets it at once: a nova-api would take it for a while yet."""
        with self.lock:
            until = self.tokens.pop(token or "", None)
        if until is None or until < time.monotonic():
            raise Refused(404, "Could not recognize Fernet token")

    def expire_all(self):
        with self.lock:
            self.tokens.clear()
