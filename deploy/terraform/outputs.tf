output "jobs_bucket" {
  description = "The BUCKET of deploy/build.sh."
  value       = google_storage_bucket.jobs.name
}

output "results" {
  description = "Folder of images, tables and reports."
  value       = "gs://${google_storage_bucket.results.name}/harmonized"
}

output "worker" {
  description = "Account of launcher and workers, for jobs started by hand."
  value       = google_service_account.worker.email
}

output "launch" {
  description = "Request that the schedule sends, for deploy/launch.sh."
  value       = local.launch
}

output "launch_url" {
  description = "URL that it is sent to."
  value       = local.launch_url
}
