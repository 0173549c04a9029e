"""What a cloud must know before its first guest: roles, endpoints, an image, a flavor. Part of the template."""

from novalab import wait
from novalab.openstack import places
from novalab.openstack.api import Api

FLAVOR = "lab-tiny"
IMAGE = "tiny"
ENDPOINTS = (("compute", "nova", f"http://{places.ADDRESS}:{places.NOVA}/v2.1"),
             ("placement", "placement", f"http://{places.ADDRESS}:{places.PLACEMENT}"),
             ("image", "glance", f"http://{places.ADDRESS}:{places.GLANCE}"),
             ("network", "neutron", f"http://{places.ADDRESS}:{places.NEUTRON}"))


def register(namespace):
    """Fills keystone and glance, which are starting; the flavor is for later, as nova-api does not live yet."""
    api = Api(namespace)
    token = wait.until("keystone answers", api.log_in, 60)

    def identity(method, path, body=None):
        return api.call(places.KEYSTONE, method, "/v3" + path, body)

    role = identity("GET", "/roles?name=service")["roles"][0]["id"]
    identity("PUT", f"/projects/{token['project']['id']}/users/{token['user']['id']}/roles/{role}")
    for kind, name, url in ENDPOINTS:
        service = identity("POST", "/services", {"service": {"type": kind, "name": name}})["service"]["id"]
        for interface in ("public", "internal", "admin"):
            identity("POST", "/endpoints", {"endpoint": {
                "service_id": service, "interface": interface, "url": url, "region_id": places.REGION}})
    api.log_in()
    image = wait.until("glance answers", lambda: api.call(places.GLANCE, "POST", "/v2/images", {
        "name": IMAGE, "disk_format": "raw", "container_format": "bare", "visibility": "public"}), 60)
    api.call(places.GLANCE, "PUT", f"/v2/images/{image['id']}/file", b"\0" * 512,
             {"Content-Type": "application/octet-stream"})


def ensure_flavor(api):
    """The one flavor; returns its id. Needs nova-api."""
    if any(flavor["id"] == FLAVOR for flavor in api.nova("GET", "/flavors")["flavors"]):
        return FLAVOR
    spec = {"name": "lab.tiny", "id": FLAVOR, "ram": 64, "vcpus": 1, "disk": 0}
    return api.nova("POST", "/flavors", {"flavor": spec})["flavor"]["id"]


def image(api):
    """The id of the one image."""
    return api.call(places.GLANCE, "GET", f"/v2/images?name={IMAGE}")["images"][0]["id"]
