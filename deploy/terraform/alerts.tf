resource "google_monitoring_notification_channel" "email" {
  display_name = "HDNet nights"
  type         = "email"
  labels       = { email_address = var.alert_email }

  depends_on = [google_project_service.needed]
}

# The line that a run logs when its summary is written (COMPLETE in pipeline/report/closing.py).
resource "google_logging_metric" "complete" {
  name   = "hdnet_runs_complete"
  filter = "resource.type=\"dataflow_step\" AND resource.labels.job_name=\"${local.job}\" AND \"hdnet run complete\""

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }

  depends_on = [google_project_service.needed]
}

resource "google_monitoring_alert_policy" "not_finished" {
  count = var.template == null ? 0 : 1

  display_name          = "HDNet: a night did not finish"
  combiner              = "OR"
  enabled               = !var.paused
  notification_channels = [google_monitoring_notification_channel.email.id]

  conditions {
    display_name = "The job failed"

    condition_threshold {
      filter          = "resource.type=\"dataflow_job\" AND resource.labels.job_name=\"${local.job}\" AND metric.type=\"dataflow.googleapis.com/job/is_failed\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }

  conditions {
    display_name = "The job runs for more than ${var.max_hours} hours"

    condition_threshold {
      filter          = "resource.type=\"dataflow_job\" AND resource.labels.job_name=\"${local.job}\" AND metric.type=\"dataflow.googleapis.com/job/elapsed_time\""
      comparison      = "COMPARISON_GT"
      threshold_value = var.max_hours * 3600
      duration        = "0s"

      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }

  # This covers every other reason; a night may end six hours later than the one before. It is in PromQL, because the
  # other condition on absence allows 23.5 hours at most. Windows above 25 hours need an interval of five minutes.
  conditions {
    display_name = "No run was completed for a day"

    condition_prometheus_query_language {
      query               = "absent_over_time(logging_googleapis_com:user_${google_logging_metric.complete.name}{monitored_resource=\"dataflow_job\"}[30h])"
      duration            = "0s"
      evaluation_interval = "300s"
    }
  }

  documentation {
    content = "deploy/README.md of hdnet-pipeline, \"A night did not finish\"."
  }
}

resource "google_monitoring_alert_policy" "not_launched" {
  count = var.template == null ? 0 : 1

  display_name          = "HDNet: a night was not launched"
  combiner              = "OR"
  notification_channels = [google_monitoring_notification_channel.email.id]

  conditions {
    display_name = "The schedule or the launcher failed"

    condition_matched_log {
      filter = <<-END
        (resource.type="cloud_scheduler_job" AND resource.labels.job_id="${local.job}" AND severity>=ERROR)
        OR (resource.type="dataflow_step" AND resource.labels.job_name="${local.job}" AND "Template launch failed")
      END
    }
  }

  alert_strategy {
    notification_rate_limit {
      period = "3600s"
    }
  }

  documentation {
    content = "deploy/README.md of hdnet-pipeline, \"A night was not launched\"."
  }
}

# The other lines that a run may log at its end: TOO_MANY_FAILURES, depending on --max-failure-rate, and NEW_FAILURES
# (pipeline/report/closing.py).
resource "google_monitoring_alert_policy" "too_many_failures" {
  count = var.template == null ? 0 : 1

  display_name          = "HDNet: too many pairs failed"
  combiner              = "OR"
  notification_channels = [google_monitoring_notification_channel.email.id]

  conditions {
    display_name = "New failures, or more than ${var.max_failure_rate * 100} % of the pairs failed"

    condition_matched_log {
      filter = <<-END
        resource.type="dataflow_step" AND resource.labels.job_name="${local.job}"
        AND severity>=ERROR AND ("hdnet run has too many failures" OR "hdnet run has new failures")
      END
    }
  }

  alert_strategy {
    notification_rate_limit {
      period = "3600s"
    }
  }

  documentation {
    content = "deploy/README.md of hdnet-pipeline, \"Too many pairs failed\"."
  }
}
