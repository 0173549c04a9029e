# The sweep where Nomad is the scheduler: every HA node looks once a minute at every host, because
# the end of a cool-down or of a storm raises no event. Constrain `node_class` so that it runs on HA
# nodes only.
job "nova-ha-mark-failed" {
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

  group "mark-failed" {
    # It is run again in a minute anyway, and converges.
    restart {
      attempts = 0
      mode     = "fail"
    }

    task "mark-failed" {
      driver       = "raw_exec"
      kill_timeout = "20s"

      config {
        command = "/usr/bin/nova-ha-mark-failed"
        args    = ["--sweep"]
      }

      env {
        CONSUL_HTTP_TOKEN_FILE = "/etc/nova-ha/tokens/mark-failed"
        NOVA_HA_NODE           = "${attr.unique.hostname}"
      }
    }
  }
}
