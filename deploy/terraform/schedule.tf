locals {
  job        = "hdnet-nightly"
  launch_url = "https://dataflow.googleapis.com/v1b3/projects/${var.project}/locations/${var.region}/flexTemplates:launch"

  # The body of projects.locations.flexTemplates.launch. Only one job of a name can be active, so a night that is still
  # running when the next one begins makes that launch fail, which raises an alert.
  launch = {
    launchParameter = {
      jobName              = local.job
      containerSpecGcsPath = var.template

      parameters = merge({
        input            = var.input
        output           = "gs://${google_storage_bucket.results.name}/harmonized"
        max_failure_rate = tostring(var.max_failure_rate)
      }, var.parameters)

      environment = {
        sdkContainerImage   = var.image
        serviceAccountEmail = google_service_account.worker.email
        machineType         = var.machine_type
        maxWorkers          = var.max_workers
        tempLocation        = "gs://${google_storage_bucket.jobs.name}/temp"
        stagingLocation     = "gs://${google_storage_bucket.jobs.name}/staging"
        subnetwork          = var.subnetwork
        ipConfiguration     = var.subnetwork == null ? "WORKER_IP_UNSPECIFIED" : "WORKER_IP_PRIVATE"

        # A service option: Dataflow itself cancels a job that has run for so long.
        additionalExperiments = ["max_workflow_runtime_walltime_seconds=${floor(var.stop_hours * 3600)}"]
      }
    }
  }
}

resource "google_cloud_scheduler_job" "nightly" {
  count = var.template == null ? 0 : 1

  name             = local.job
  description      = "Harmonize what is new or changed in the catalog."
  region           = var.region
  schedule         = var.schedule
  time_zone        = var.time_zone
  paused           = var.paused
  attempt_deadline = "180s"

  retry_config {
    retry_count          = 3
    min_backoff_duration = "60s"
  }

  http_target {
    http_method = "POST"
    uri         = local.launch_url
    headers     = { "Content-Type" = "application/json" }
    body        = base64encode(jsonencode(local.launch))

    oauth_token {
      service_account_email = google_service_account.scheduler.email
    }
  }

  lifecycle {
    precondition {
      condition     = var.image != null
      error_message = "A template needs the image of the same build; otherwise Beam's own would start on the workers."
    }

    precondition {
      condition     = var.stop_hours > var.max_hours
      error_message = "stop_hours must be above max_hours, so that somebody is notified before a night is stopped."
    }
  }

  depends_on = [google_project_service.needed, google_service_account_iam_member.scheduler_acts_as_worker]
}
