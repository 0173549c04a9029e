"""Nova's API versions per request, and what each allows in an evacuate body."""

import re

MINIMUM = (2, 1)
MAXIMUM = (2, 104)

FQDN = re.compile(r"^[a-zA-Z0-9\-._]{1,255}$")
BOOLEANS = (True, "True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes",
            False, "False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no")
TRUE_WORDS = ("true", "1", "on", "yes")


class BadVersion(Exception):
    """The header is no version (400) or one that this API does not have (406)."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def text(version):
    return "%d.%d" % version


def requested(headers, maximum=MAXIMUM):
    """The microversion that a request asks for; 2.1 where it names none."""
    word = None
    for part in (headers.get("OpenStack-API-Version") or "").split(","):
        service, _, version = part.strip().partition(" ")
        if service == "compute":
            word = version.strip()
    if word is None:
        word = headers.get("X-OpenStack-Nova-API-Version")
    if word is None:
        return MINIMUM
    if word == "latest":
        return maximum
    match = re.fullmatch(r"([1-9]\d*)\.([1-9]\d*|0)", word)
    if not match:
        raise BadVersion(400, "API Version String %s is of invalid format. Must be of format MajorNum.MinorNum." % word)
    version = (int(match.group(1)), int(match.group(2)))
    if not MINIMUM <= version <= maximum:
        raise BadVersion(406, "Version %s is not supported by the API. Minimum is %s and maximum is %s."
                         % (word, text(MINIMUM), text(maximum)))
    return version


def truth(value):
    return value is True or (isinstance(value, str) and value.lower() in TRUE_WORDS)


def evacuate_body_error(version, body):
    """Why Nova's schema of this version refuses the body, or None."""
    if not isinstance(body, dict) or set(body) != {"evacuate"}:
        return "Invalid input for field/attribute: additional or missing properties beside 'evacuate'"
    inner = body["evacuate"]
    if not isinstance(inner, dict):
        return "Invalid input for field/attribute evacuate. Value: %r. %r is not of type 'object'" % (inner, inner)
    allowed = {"host", "adminPass"}
    if version < (2, 14):
        allowed.add("onSharedStorage")
        if "onSharedStorage" not in inner:
            return "Invalid input for field/attribute evacuate. 'onSharedStorage' is a required property"
    if (2, 29) <= version < (2, 68):
        allowed.add("force")
    extra = sorted(set(inner) - allowed)
    if extra:
        return ("Invalid input for field/attribute evacuate. Additional properties are not allowed (%s)"
                % ", ".join("'%s' was unexpected" % name for name in extra))
    if "host" in inner and not (isinstance(inner["host"], str) and FQDN.match(inner["host"])):
        return "Invalid input for field/attribute host. Value: %r." % (inner["host"],)
    for name in ("onSharedStorage", "force"):
        # `1 in (True,)` holds in Python, Nova's schema refuses numbers.
        if name in inner and ((isinstance(inner[name], int) and not isinstance(inner[name], bool))
                              or inner[name] not in BOOLEANS):
            return "Invalid input for field/attribute %s. Value: %r." % (name, inner[name])
    return None
