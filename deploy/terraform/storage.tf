# Results are kept for good. What a night replaces or removes can be restored for 30 days.
resource "google_storage_bucket" "results" {
  name                        = "${var.project}-hdnet-results"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  versioning {
    enabled = true
  }

  lifecycle_rule {
    condition {
      days_since_noncurrent_time = 30
    }
    action {
      type = "Delete"
    }
  }

  lifecycle_rule {
    condition {
      age = 1
    }
    action {
      type = "AbortIncompleteMultipartUpload"
    }
  }
}

# Templates are kept for rolling back. What jobs leave behind is useless once they have ended.
resource "google_storage_bucket" "jobs" {
  name                        = "${var.project}-hdnet-jobs"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  soft_delete_policy {
    retention_duration_seconds = 0
  }

  lifecycle_rule {
    condition {
      age            = 7
      matches_prefix = ["staging/", "temp/"]
    }
    action {
      type = "Delete"
    }
  }

  lifecycle_rule {
    condition {
      age = 1
    }
    action {
      type = "AbortIncompleteMultipartUpload"
    }
  }
}

resource "google_artifact_registry_repository" "images" {
  repository_id = "hdnet"
  location      = var.region
  format        = "DOCKER"
  description   = "Images of launcher and workers."

  depends_on = [google_project_service.needed]
}
