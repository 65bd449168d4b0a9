variable "project" {
  description = "Google Cloud project."
  type        = string
}

variable "region" {
  description = "Of the buckets, the images and the jobs: the region where the catalog is."
  type        = string
}

variable "catalog_bucket" {
  description = "Existing bucket with the manifest and the images, without gs://; it is only read."
  type        = string
}

variable "input" {
  description = "Manifest of the night, such as gs://catalog/pairs.parquet."
  type        = string
}

variable "alert_email" {
  description = "Who is told when a night goes wrong."
  type        = string
}

variable "template" {
  description = "What deploy/build.sh wrote, gs://.../hdnet-cpu-TAG.json; null until there is one: no schedule then."
  type        = string
  default     = null
}

variable "image" {
  description = "What deploy/build.sh pushed, of the same TAG as the template."
  type        = string
  default     = null
}

variable "schedule" {
  description = "When a night begins, as in cron."
  type        = string
  default     = "0 1 * * *"
}

variable "time_zone" {
  description = "Of the schedule."
  type        = string
  default     = "Etc/UTC"
}

variable "paused" {
  description = "True stops the nights, and the alert that one did not finish."
  type        = bool
  default     = false
}

variable "machine_type" {
  description = "Of the workers; hdnet-harmonize --dry-run and deploy/scale.md advise."
  type        = string
  default     = "n2-standard-8"
}

variable "max_workers" {
  description = "Machines at most: the bound on what a night may cost an hour."
  type        = number
  default     = 20
}

variable "subnetwork" {
  description = "With Private Google Access, regions/R/subnetworks/S; null: the default network, with public addresses."
  type        = string
  default     = null
}

variable "parameters" {
  description = "Further parameters of the template (deploy/template.json), such as { weights = \"gs://...\" }."
  type        = map(string)
  default     = {}
}

variable "max_failure_rate" {
  description = "Share of a night's pairs that may fail before somebody is told."
  type        = number
  default     = 0.02
}

variable "max_hours" {
  description = "Hours that a night may take before somebody is told."
  type        = number
  default     = 8
}
