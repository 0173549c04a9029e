"""Databases that are made once and copied for each run: half a minute of schema migrations is not waited for again.

A template is MariaDB's data folder after a clean end, keystone's keys and glance's one image, with the cell, the
catalog, the flavor and the image registered. Every lab has the same addresses inside its namespaces, so a template
made in one fits all. It lies in the lab's cache under a name that is a hash of the versions and of the code that fills
it: another version makes another template, and deleting one is safe.
"""

import os
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

from novalab import wait
from novalab.openstack import catalog, config, places

PARTS = ("mysql", "fernet", "credential", "images")


def exists():
    """Whether there is one for these versions and this code."""
    return (places.template() / "complete").exists()


def fill(plane):
    """Puts the template's data into the folder of a plane that is laid out."""
    for part in PARTS:
        shutil.copytree(places.template() / part, plane.folder / part, dirs_exist_ok=True)


def make(plane):
    """Makes the template in a plane that is laid out, empty and thrown away afterwards.

    Raises RuntimeError with the words of the program that failed.
    """
    done = subprocess.run(["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={plane.folder}/mysql",
                           "--auth-root-authentication-method=normal", "--skip-test-db"],
                          capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"mariadb-install-db: {(done.stdout + done.stderr)[-2000:]}")
    plane.start("mariadb")
    plane.wait_database()
    plane.sql("".join(f"CREATE DATABASE {name} CHARACTER SET utf8mb3;" for name in config.DATABASES)
              + "CREATE USER 'os'@'127.0.0.1' IDENTIFIED BY 'os'; GRANT ALL ON *.* TO 'os'@'127.0.0.1';")
    with ThreadPoolExecutor(3) as pool:
        for made in [pool.submit(part, plane) for part in (_keystone, _nova, _small_ones)]:
            made.result()
    for name in ("keystone", "glance"):
        plane.start(name)
    catalog.register(plane.namespace)
    plane.kill("keystone", "glance")
    _end_database(plane)
    _keep(plane)


def _keystone(plane):
    manage = ("keystone-manage", "--config-file", f"{plane.folder}/etc/keystone.conf")
    plane.run(*manage, "db_sync")
    for what in ("fernet_setup", "credential_setup"):
        plane.run(*manage, what, "--keystone-user", "root", "--keystone-group", "root")
    urls = [word for kind in ("public", "internal", "admin")
            for word in (f"--bootstrap-{kind}-url", f"http://{places.ADDRESS}:{places.KEYSTONE}/v3")]
    plane.run(*manage, "bootstrap", "--bootstrap-username", places.USER, "--bootstrap-password", places.PASSWORD,
              "--bootstrap-project-name", places.PROJECT, "--bootstrap-region-id", places.REGION, *urls)


def _nova(plane):
    manage = ("nova-manage", "--config-file", f"{plane.folder}/etc/nova.conf")
    plane.run(*manage, "api_db", "sync")
    plane.run(*manage, "cell_v2", "map_cell0", "--database_connection", config.database("nova_cell0"))
    plane.run(*manage, "db", "sync")
    plane.run(*manage, "cell_v2", "create_cell", "--name", "cell1")


def _small_ones(plane):
    plane.run("placement-manage", "--config-file", f"{plane.folder}/etc/placement.conf", "db", "sync")
    plane.run("glance-manage", "--config-file", f"{plane.folder}/etc/glance-api.conf", "db_sync")


def _end_database(plane):
    """A clean end: what is copied must not need a recovery of its own."""
    identity = plane.registry.identity("cloud-mariadb")
    os.kill(identity[0], signal.SIGTERM)
    wait.until("MariaDB ends", lambda: not plane.running("mariadb"), 60)


def _keep(plane):
    template = places.template()
    partial = template.with_name(template.name + f".partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    for old in places.CACHE.glob("template-*"):
        # One is enough: an older one fits nothing any more. A partial one belongs to a lab that is making it.
        if old != template and ".partial-" not in old.name:
            shutil.rmtree(old, ignore_errors=True)
    for part in PARTS:
        shutil.copytree(plane.folder / part, partial / part)
    (partial / "complete").touch()
    try:
        partial.rename(template)
    except OSError:
        # Another lab was faster; its template is as good.
        shutil.rmtree(partial, ignore_errors=True)
