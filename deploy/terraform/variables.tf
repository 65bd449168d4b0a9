variable "project" {
  description = "Google Cloud project."
  type        = string
}

variable "region" {
  description = "Region of the buckets, the images and the jobs; it must be that of the catalog."
  type        = string
}

variable "catalog_bucket" {
  description = "Existing bucket with the manifest and the images, without gs://; it is only read."
  type        = string
}

variable "input" {
  description = "Manifest to harmonize every night, such as gs://catalog/pairs.parquet."
  type        = string
}

variable "alert_email" {
  description = "Address that is notified when a night goes wrong."
  type        = string
}

variable "template" {
  description = "Template that deploy/build.sh wrote, gs://.../hdnet-cpu-TAG.json; without one (null) there is no schedule."
  type        = string
  default     = null
}

variable "image" {
  description = "Image that deploy/build.sh pushed, with the same TAG as the template."
  type        = string
  default     = null
}

variable "schedule" {
  description = "When a night begins, in the format of cron."
  type        = string
  default     = "0 1 * * *"
}

variable "time_zone" {
  description = "Time zone of the schedule."
  type        = string
  default     = "Etc/UTC"
}

variable "paused" {
  description = "Whether to stop the nights, and the alert that one did not finish."
  type        = bool
  default     = false
}

variable "machine_type" {
  description = "Machine type of the workers; see hdnet-harmonize --dry-run and deploy/scale.md."
  type        = string
  default     = "n2-standard-8"
}

variable "max_workers" {
  description = "Largest number of machines, which limits what a night may cost per hour."
  type        = number
  default     = 20
}

variable "subnetwork" {
  description = "Subnetwork with Private Google Access, regions/R/subnetworks/S; null for the default network with public addresses."
  type        = string
  default     = null
}

variable "parameters" {
  description = "Further parameters of the template (deploy/template.json), such as { weights = \"gs://...\" }."
  type        = map(string)
  default     = {}
}

variable "max_failure_rate" {
  description = "Fraction of a night's pairs that may fail before someone is notified."
  type        = number
  default     = 0.02
}

variable "max_hours" {
  description = "Hours that a night may take before someone is notified."
  type        = number
  default     = 8
}

variable "stop_hours" {
  description = "Hours after which Dataflow cancels a job, which limits what a night may cost; the next one goes on."
  type        = number
  default     = 12
}
