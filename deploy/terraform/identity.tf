# Launcher and workers may read the catalog and write the results, and nothing else.
resource "google_service_account" "worker" {
  account_id   = "hdnet-worker"
  display_name = "HDNet launcher and workers"

  depends_on = [google_project_service.needed]
}

resource "google_project_iam_member" "worker" {
  project = var.project
  role    = "roles/dataflow.worker"
  member  = google_service_account.worker.member
}

resource "google_storage_bucket_iam_member" "worker_reads_catalog" {
  bucket = var.catalog_bucket
  role   = "roles/storage.objectViewer"
  member = google_service_account.worker.member
}

resource "google_storage_bucket_iam_member" "worker_writes" {
  for_each = {
    results = google_storage_bucket.results.name
    jobs    = google_storage_bucket.jobs.name
  }

  bucket = each.value
  role   = "roles/storage.objectUser"
  member = google_service_account.worker.member
}

resource "google_artifact_registry_repository_iam_member" "worker_pulls" {
  repository = google_artifact_registry_repository.images.name
  location   = google_artifact_registry_repository.images.location
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.worker.member
}

# The schedule may start a job as that account from a template, and nothing else.
resource "google_service_account" "scheduler" {
  account_id   = "hdnet-scheduler"
  display_name = "HDNet nightly schedule"

  depends_on = [google_project_service.needed]
}

resource "google_project_iam_custom_role" "launcher" {
  role_id     = "hdnetLauncher"
  title       = "Launch HDNet jobs"
  permissions = ["dataflow.jobs.create", "dataflow.jobs.get"]

  depends_on = [google_project_service.needed]
}

resource "google_project_iam_member" "scheduler" {
  project = var.project
  role    = google_project_iam_custom_role.launcher.id
  member  = google_service_account.scheduler.member
}

resource "google_service_account_iam_member" "scheduler_acts_as_worker" {
  service_account_id = google_service_account.worker.name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.scheduler.member
}

resource "google_storage_bucket_iam_member" "scheduler_reads_templates" {
  bucket = google_storage_bucket.jobs.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.scheduler.member

  condition {
    title      = "templates"
    expression = "resource.name.startsWith(\"projects/_/buckets/${google_storage_bucket.jobs.name}/objects/templates/\")"
  }
}
