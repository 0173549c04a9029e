"""The config files of the services, as an operator would write them. All secrets are the lab's own and worth nothing."""

from novalab.openstack import places

DATABASES = ("keystone", "placement", "glance", "nova_api", "nova", "nova_cell0")
# A compute host is down for Nova after this many seconds of silence (60 in production, as the report interval is 10). On a busy
# machine a report is six seconds late now and then, and a host that is down at that moment is given no guest (NoValidHost).
REPORT_SECONDS, DOWN_SECONDS = 1, 15


def database(name):
    """The URL of a database."""
    return f"mysql+pymysql://os:os@127.0.0.1:3306/{name}"


def auth(section):
    """A section by which a service logs in to keystone."""
    return f"""\
[{section}]
auth_url = http://{places.ADDRESS}:{places.KEYSTONE}/v3
auth_type = password
username = {places.USER}
password = {places.PASSWORD}
project_name = {places.PROJECT}
user_domain_id = default
project_domain_id = default
region_name = {places.REGION}
"""


def connection(name):
    """A service's connections to its database.

    One for each of its 16 threads and one more for what a thread does apart from its transaction: with the default of
    15, threads that all wait for their second one fail after 30 s (placement did, at 20 guests).
    """
    return f"connection = {database(name)}\nmax_pool_size = 40\n"


def middleware():
    """How a service checks the tokens that it is shown."""
    # A revoked token is taken for as long as this (300 s by default); the labs' policy says the same.
    return auth("keystone_authtoken") + f"token_cache_time = 10\nwww_authenticate_uri = http://{places.ADDRESS}:{places.KEYSTONE}\n"


def keystone(folder):
    """keystone.conf"""
    return f"""\
[database]
{connection("keystone")}[token]
provider = fernet
[fernet_tokens]
key_repository = {folder}/fernet
[fernet_receipts]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
[cache]
# One process serves all: its memory is the cache, and what a token says is not worked out at every request.
enabled = true
backend = dogpile.cache.memory
[identity]
# The least that bcrypt takes: every login of a run pays for it.
password_hash_rounds = 4
"""


def placement(_folder):
    """placement.conf"""
    return f"""\
[api]
auth_strategy = keystone
[placement_database]
{connection("placement")}{middleware()}"""


def glance(folder):
    """glance-api.conf"""
    return f"""\
[DEFAULT]
enabled_backends = fs:file
bind_host = {places.ADDRESS}
worker_self_reference_url = http://{places.ADDRESS}:{places.GLANCE}
[glance_store]
default_backend = fs
[fs]
filesystem_store_datadir = {folder}/images
[database]
connection = {database("glance")}
[paste_deploy]
flavor = keystone
config_file = {places.VENV}/etc/glance/glance-api-paste.ini
[oslo_concurrency]
lock_path = {folder}/locks
{middleware()}"""


def _nova_common():
    sections = "".join(auth(name) for name in ("placement", "glance", "neutron", "cinder"))
    return f"""\
[oslo_messaging_rabbit]
# Short, so that what a dead host still had subscribed is not given half of what its next boot is sent.
heartbeat_timeout_threshold = 10
heartbeat_rate = 3
{sections}{auth("service_user")}send_service_user_token = true
[vnc]
enabled = false
"""


def nova(folder):
    """nova.conf of nova-api, conductor and scheduler."""
    return f"""\
[DEFAULT]
host = {places.NODE}
transport_url = {transport()}
my_ip = {places.ADDRESS}
report_interval = {REPORT_SECONDS}
service_down_time = {DOWN_SECONDS}
[api_database]
{connection("nova_api")}[database]
{connection("nova")}[api]
auth_strategy = keystone
[scheduler]
workers = 1
[conductor]
workers = 1
[quota]
instances = -1
cores = -1
ram = -1
server_groups = -1
server_group_members = -1
[oslo_concurrency]
lock_path = {folder}/locks
{_nova_common()}{middleware()}"""


def compute(host, address):
    """nova.conf of the nova-compute of one machine, as it lies on that machine's disk."""
    return f"""\
[DEFAULT]
host = {host}
my_ip = {address}
transport_url = {transport()}
state_path = /var/lib/nova
instances_path = /var/lib/nova/instances
compute_driver = labdisk.LabDriver
report_interval = {REPORT_SECONDS}
service_down_time = {DOWN_SECONDS}
use_cow_images = false
max_concurrent_builds = 0
[oslo_concurrency]
lock_path = /run/lock/nova
{_nova_common()}"""


def transport():
    """The message bus."""
    return f"rabbit://guest:guest@{places.ADDRESS}:{places.RABBIT}/"


def gunicorn(name, application, address, port, folder):
    """A gunicorn config: nova's WSGI entry point parses sys.argv itself, so nothing may be given on the command line."""
    return f"""\
bind = "{address}:{port}"
workers = 1
threads = 16
timeout = 120
graceful_timeout = 1
wsgi_app = "{application}"
control_socket = "{folder}/{name}.ctl"
"""
