# The sweep where Nomad is the scheduler: every HA node looks once a minute whether there is
# something to recover. raw_exec, because fencing and mounting are done by root on the node itself.
# Constrain `node_class` (or change it) so that it runs on HA nodes only.
job "nova-ha-recover" {
  datacenters = ["dc1"]
  type        = "sysbatch"

  periodic {
    cron             = "* * * * *"
    prohibit_overlap = true
  }

  constraint {
    attribute = "${node.class}"
    value     = "nova-ha"
  }

  group "recover" {
    # It is run again in a minute anyway, and converges.
    restart {
      attempts = 0
      mode     = "fail"
    }

    task "recover" {
      driver       = "raw_exec"
      kill_timeout = "20s"

      config {
        command = "/usr/bin/nova-ha-recover"
      }

      env {
        CONSUL_HTTP_TOKEN_FILE = "/etc/nova-ha/tokens/recover"
        NOVA_HA_NODE           = "${attr.unique.hostname}"
      }
    }
  }
}
