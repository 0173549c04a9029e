"""The whole site loses power and comes back with slow hosts: nobody is marked, nobody is shot."""

from novalab import expect

TIME_LIMIT = 300


def run(lab):
    for host in lab.hosts:
        lab.slow_boot(host.name, 20)
    lab.cut_site()
    lab.power_on_site()
    lab.consul.wait_for_leader(30)
    for host in lab.hosts:
        lab.never_marked(host.name, 10)
    for machine in lab.machines:
        lab.wait_for_agent(machine)
    lab.wait_observed()
    expect.untouched(lab)
