"""The processes of the control plane: which there are, what each needs first, and how they are started and stopped.

All live in the network namespace of the node `cloud`, each in a session of its own, started and killed through the
run's registry (processes.py). Their data is below one folder in RAM: `mysql`, `rabbit`, `keystone`, `images`, `etc`.
"""

import os
import subprocess
from pathlib import Path

from novalab import net, paths, wait
from novalab.openstack import config, places

BUS = {
    "HOME": "{folder}/rabbit", "RABBITMQ_NODENAME": "lab@localhost", "RABBITMQ_NODE_IP_ADDRESS": places.ADDRESS,
    "RABBITMQ_NODE_PORT": str(places.RABBIT), "RABBITMQ_MNESIA_BASE": "{folder}/rabbit",
    "RABBITMQ_LOG_BASE": "{folder}/rabbit/log", "RABBITMQ_PID_FILE": "{folder}/rabbit/pid",
    "RABBITMQ_CONF_ENV_FILE": "/dev/null", "RABBITMQ_CONFIG_FILE": "{folder}/rabbit/rabbitmq",
    "RABBITMQ_ENABLED_PLUGINS_FILE": "{folder}/rabbit/plugins", "ERL_EPMD_ADDRESS": "127.0.0.1",
    # Erlang's schedulers would spin while they wait, on cores that everything else needs.
    "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none",
}
# Small logs and no doublewrite: the data is thrown away with the run, and the template is copied for each.
MARIADB = ["--no-defaults", "--user=root", "--bind-address=127.0.0.1", "--port=3306", "--max-connections=400",
           "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=96M", "--innodb-log-file-size=8M",
           "--innodb-doublewrite=0", "--aria-log-file-size=8M", "--skip-log-bin", "--skip-name-resolve",
           "--performance-schema=0"]
WEB = {
    "keystone": ("keystone.wsgi.api:application", places.ADDRESS, places.KEYSTONE),
    "placement": ("placement.wsgi.api:application", places.ADDRESS, places.PLACEMENT),
    "glance": ("glance.wsgi.api:application", places.ADDRESS, places.GLANCE),
    "nova-api": ("nova.wsgi.osapi_compute:application", places.ADDRESS, places.NOVA_BEHIND),
}
# In the order in which they are wanted; the gate and the stub cost nothing.
SERVICES = ("mariadb", "rabbitmq", "keystone", "nova-api", "placement", "glance", "nova-conductor", "nova-scheduler",
            "neutron", "gate")


class Plane:
    """The control plane in one namespace."""

    def __init__(self, folder, namespace, registry):
        self.folder = Path(folder)
        self.namespace = namespace
        self.registry = registry

    def lay_out(self):
        """Makes the folders and the config files; the databases come from a template or are made by template.py."""
        for name in ("etc", "images", "locks", "rabbit/log", "mysql", "fernet", "credential"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._write("keystone.conf", config.keystone(self.folder))
        self._write("placement.conf", config.placement(self.folder))
        self._write("glance-api.conf", config.glance(self.folder))
        self._write("nova.conf", config.nova(self.folder))
        for paste in ("nova/api-paste.ini", "glance/glance-api-paste.ini"):
            self._write(os.path.basename(paste), (places.VENV / "etc" / paste).read_text(encoding="utf-8"))
        for name, (application, address, port) in WEB.items():
            self._write(f"gunicorn-{name}.py", config.gunicorn(name, application, address, port, self.folder))
        (self.folder / "rabbit" / "plugins").write_text("[].", encoding="utf-8")
        # The bus's own user may come from anywhere in the lab, and a dead host's connection is gone in good time.
        (self.folder / "rabbit" / "rabbitmq.conf").write_text("loopback_users = none\nheartbeat = 10\n", encoding="utf-8")

    def _write(self, name, text):
        (self.folder / "etc" / name).write_text(text, encoding="utf-8")

    def env(self):
        """The environment of a service of OpenStack."""
        return {"PATH": f"{places.VENV}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.folder), "LANG": "C.UTF-8",
                "OS_KEYSTONE_CONFIG_DIR": f"{self.folder}/etc", "OS_PLACEMENT_CONFIG_DIR": f"{self.folder}/etc",
                "OS_GLANCE_CONFIG_DIR": f"{self.folder}/etc", "OS_NOVA_CONFIG_DIR": f"{self.folder}/etc",
                # Bytecode was made at the install; nothing of the outer machine's proxies is meant for in here.
                "PYTHONDONTWRITEBYTECODE": "1", "no_proxy": "*"}

    def start(self, name):
        """Starts one service and does not wait for it."""
        argv, env = self._command(name)
        self.registry.start(f"cloud-{name}", argv, namespace=self.namespace, env=env, cwd=str(self.folder))

    def _command(self, name):
        env = self.env()
        if name == "mariadb":
            return ["mariadbd", *MARIADB, f"--datadir={self.folder}/mysql", f"--socket={self.socket()}",
                    f"--pid-file={self.folder}/mysql.pid"], {"PATH": "/usr/sbin:/usr/bin"}
        if name == "rabbitmq":
            # /usr/sbin/rabbitmq-server would become the user rabbitmq.
            bus = {key: value.format(folder=self.folder) for key, value in BUS.items()}
            return ["/usr/lib/rabbitmq/bin/rabbitmq-server"], {**env, **bus}
        if name in WEB:
            return [places.program("gunicorn")], {**env, "GUNICORN_CMD_ARGS": f"-c {self.folder}/etc/gunicorn-{name}.py"}
        if name == "neutron":
            return [paths.PYTHON, places.HERE / "neutron.py", places.ADDRESS, places.NEUTRON], env
        if name == "gate":
            return [paths.PYTHON, places.HERE / "gate.py", places.ADDRESS, places.NOVA, places.NOVA_BEHIND,
                    self.folder / "requests.jsonl"], {**env, "PYTHONPATH": str(paths.INTEGRATION)}
        return [places.program("python"), "-I", places.HERE / "nova_service.py", name, places.ADDRESS, places.RABBIT, "--",
                "--config-file", f"{self.folder}/etc/nova.conf"], env

    def kill(self, *names):
        """SIGKILL to services, with what they forked: each leads a session of its own."""
        for name in names:
            identity = self.registry.identity(f"cloud-{name}")
            if identity and self.registry.running(f"cloud-{name}"):
                os.killpg(identity[0], 9)
                self.registry.kill(f"cloud-{name}")

    def running(self, name):
        """Whether a service lives."""
        return self.registry.running(f"cloud-{name}")

    def socket(self):
        """MariaDB's socket."""
        return f"{self.folder}/mysql.sock"

    def sql(self, text, timeout=20):
        """Runs statements as the database's administrator; returns what they printed, tab separated, without headings."""
        done = subprocess.run(["mariadb", "--no-defaults", "-S", self.socket(), "-u", "root", "--batch", "-N"], input=text,
                              capture_output=True, text=True, timeout=timeout, check=False)
        if done.returncode != 0:
            raise OSError(f"mariadb: {done.stderr.strip()}")
        return done.stdout

    def wait_database(self, timeout=60):
        """Until MariaDB answers."""
        wait.until("MariaDB answers", lambda: self.sql("SELECT 1").strip() == "1", timeout)

    def wait_port(self, what, address, port, timeout=120):
        """Until something accepts connections there."""
        def connects():
            net.connect(self.namespace, address, port, 1).close()
            return True

        wait.until(f"{what} listens on {port}", connects, timeout)

    def run(self, *argv, timeout=300):
        """Runs a program of the venv in the namespace to its end; raises RuntimeError with what it said."""
        command = ["nsenter", f"--net=/run/netns/{self.namespace}", "--", places.program(argv[0]), *argv[1:]]
        done = subprocess.run([str(word) for word in command], env=self.env(), capture_output=True, text=True,
                              timeout=timeout, check=False, cwd=self.folder)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, argv))}: exit {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
        return done.stdout
