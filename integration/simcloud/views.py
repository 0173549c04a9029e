"""What Nova's answers look like: each field from the version on that shows it, each time in the form that Nova gives it.

Held to real Nova's recorded answers by `tests/test_contract.py`.
"""

import hashlib

# Nova shows how far it is only where something may be under way.
PROGRESS = ("ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING")


def whole(stamp):
    """A time as databases keep it: without its fraction, which is shown as zeros."""
    return None if stamp is None else stamp[:19] + ".000000"


def zulu(stamp):
    """A time of a server itself."""
    return stamp[:19] + "Z"


def host_id(project, host):
    """What owners see in place of a host's name."""
    return hashlib.sha224((project + host).encode()).hexdigest()


def server(guest, host, up, version, base, alone):
    """A server: `host` is its Host, `up` whether its service is. `alone`: not in a list."""
    root = base.removesuffix("/v2.1")
    row = {"id": guest.id, "name": guest.name, "status": guest.status, "tenant_id": guest.project,
           "user_id": "user-" + guest.project, "created": zulu(guest.created), "updated": zulu(guest.updated),
           "metadata": guest.metadata, "hostId": host_id(guest.project, guest.host), "addresses": {},
           "links": [{"rel": "self", "href": "%s/servers/%s" % (base, guest.id)},
                     {"rel": "bookmark", "href": "%s/servers/%s" % (root, guest.id)}],
           "image": image(guest, root, version, alone), "flavor": flavor(version, root), "accessIPv4": "", "accessIPv6": "",
           "config_drive": "", "key_name": None, "OS-DCF:diskConfig": "MANUAL",
           "OS-EXT-AZ:availability_zone": "nova",
           "OS-EXT-SRV-ATTR:host": guest.host,
           "OS-EXT-SRV-ATTR:hypervisor_hostname": host.hypervisor_hostname,
           "OS-EXT-SRV-ATTR:instance_name": "instance-" + guest.id[:8],
           "OS-EXT-STS:vm_state": guest.vm_state, "OS-EXT-STS:task_state": guest.task_state,
           "OS-EXT-STS:power_state": guest.power_state,
           "OS-SRV-USG:launched_at": whole(guest.created) if guest.launched else None,
           "OS-SRV-USG:terminated_at": None,
           "os-extended-volumes:volumes_attached": [{"id": v, "delete_on_termination": False} for v in guest.volumes]}
    if guest.status in PROGRESS:
        row["progress"] = 0
    if version >= (2, 3):
        row.update({"OS-EXT-SRV-ATTR:hostname": guest.name, "OS-EXT-SRV-ATTR:kernel_id": "",
                    "OS-EXT-SRV-ATTR:launch_index": 0, "OS-EXT-SRV-ATTR:ramdisk_id": "",
                    "OS-EXT-SRV-ATTR:reservation_id": "r-" + guest.id[:8],
                    "OS-EXT-SRV-ATTR:root_device_name": "/dev/sda", "OS-EXT-SRV-ATTR:user_data": None})
    since = {(2, 9): {"locked": guest.locked}, (2, 16): {"host_status": status_of(host, up)}, (2, 19): {"description": None},
             (2, 26): {"tags": []}, (2, 63): {"trusted_image_certificates": None},
             (2, 71): {"server_groups": []} if alone else {}, (2, 73): {"locked_reason": guest.locked_reason},
             (2, 96): {"pinned_availability_zone": None}, (2, 100): {"scheduler_hints": {}}}
    for first, fields in since.items():
        if version >= first:
            row.update(fields)
    if guest.fault:
        row["fault"] = guest.fault
    return row


def status_of(host, up):
    """The host's state beside a server."""
    return "UP" if up and not host.disabled else "MAINTENANCE" if host.disabled else "DOWN"


def image(guest, root, version, alone):
    """The image, or the empty word of a server that was booted from a volume."""
    if not guest.image:
        return ""
    shown = {"id": guest.image, "links": [{"rel": "bookmark", "href": "%s/images/%s" % (root, guest.image)}]}
    if version >= (2, 98):
        shown["properties"] = {}
    return shown


def flavor(version, root):
    """The flavor: itself from 2.47 on, a link before."""
    if version < (2, 47):
        return {"id": "lab-tiny", "links": [{"rel": "bookmark", "href": root + "/flavors/lab-tiny"}]}
    return {"original_name": "lab.tiny", "vcpus": 1, "ram": 64, "disk": 0, "ephemeral": 0, "swap": 0, "extra_specs": {}}


def migration(row, version, address=None):
    """A migration; `address` is that of the target once it has taken it."""
    out = {"id": row.id, "instance_uuid": row.guest.id, "status": row.status,
           "source_compute": row.source_compute, "source_node": row.source_node,
           "dest_compute": row.dest_compute, "dest_node": row.dest_node, "dest_host": address,
           "created_at": whole(row.created), "updated_at": whole(row.updated),
           "new_instance_type_id": None, "old_instance_type_id": None}
    if version >= (2, 23):
        out["migration_type"] = row.type
    if version >= (2, 59):
        out["uuid"] = row.uuid
    if version >= (2, 80):
        out.update(user_id="user-" + row.guest.project, project_id=row.guest.project)
    return out


def action(guest, row, version, events):
    """An action on a server, with its events where it is asked for alone; what happened last comes first."""
    shown = {"action": row["action"], "request_id": row["request_id"], "start_time": whole(row["start_time"]),
             "message": row["message"], "instance_uuid": guest.id, "project_id": "admin-id", "user_id": "admin-id"}
    if version >= (2, 58):
        finished = [e["finish_time"] for e in row["events"] if e["finish_time"]]
        shown["updated_at"] = whole(max(finished, default=row["start_time"]))
    if events:
        shown["events"] = [event(guest, e, version) for e in reversed(row["events"])]
    return shown


def event(guest, row, version):
    """One event of an action."""
    shown = {"event": row["event"], "start_time": whole(row["start_time"]), "finish_time": whole(row["finish_time"]),
             "result": row["result"], "traceback": None}
    if version >= (2, 62):
        shown.update(host=row["host"], hostId=host_id(guest.project, row["host"]))
    return shown


def version_document(base, newest, oldest):
    """`GET /`"""
    return {"version": {
        "id": "v2.1", "status": "CURRENT", "version": newest, "min_version": oldest, "updated": "2013-07-23T11:33:21Z",
        "links": [{"rel": "self", "href": base + "/"},
                  {"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}]}}


# A path that no route has is answered by what stands before Nova's own code.
NO_ROUTE = {"message": "The resource could not be found.<br /><br />\n\n\n", "code": "404 Not Found", "title": "Not Found"}
