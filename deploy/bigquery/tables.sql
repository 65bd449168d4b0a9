-- The tables of a catalog's runs, read in place: nothing is loaded, and a run appears as soon as its files exist.
--
--   sed 's#OUTPUT#gs://PROJECT-hdnet-results/harmonized#g' deploy/bigquery/tables.sql |
--       bq --location=REGION query --nouse_legacy_sql
--
-- The columns of your manifest can be added as STRING at the end of metrics_files and failures_files.

CREATE SCHEMA IF NOT EXISTS hdnet;

CREATE OR REPLACE EXTERNAL TABLE hdnet.metrics_files (
  id STRING,
  composite STRING,
  mask STRING,
  reference STRING,
  output STRING,
  schema_version INT64,
  width INT64,
  height INT64,
  foreground_ratio FLOAT64,
  border_ratio FLOAT64,
  mse FLOAT64,
  fmse FLOAT64,
  psnr FLOAT64,
  fpsnr FLOAT64,
  ssim FLOAT64,
  fssim FLOAT64,
  input_mse FLOAT64,
  input_fmse FLOAT64,
  input_psnr FLOAT64,
  input_fpsnr FLOAT64,
  input_ssim FLOAT64,
  input_fssim FLOAT64,
  delta_e FLOAT64,
  gap_before FLOAT64,
  gap_after FLOAT64,
  clipped_ratio FLOAT64,
  newly_clipped_ratio FLOAT64,
  seconds_read FLOAT64,
  seconds_network FLOAT64,
  seconds_write FLOAT64,
  seconds_score FLOAT64,
  arch STRING,
  precision STRING,
  weights_sha256 STRING,
  input_sha256 STRING,
  mask_sha256 STRING,
  reference_sha256 STRING,
  output_sha256 STRING,
  composite_version STRING,
  mask_version STRING,
  reference_version STRING,
  output_bytes INT64,
  options STRING,
  harmonized_at TIMESTAMP,
  flags STRING
)
WITH PARTITION COLUMNS (run_id STRING)
OPTIONS (format = 'PARQUET', hive_partition_uri_prefix = 'OUTPUT/metrics', uris = ['OUTPUT/metrics/*']);

CREATE OR REPLACE EXTERNAL TABLE hdnet.failures_files (
  id STRING,
  composite STRING,
  mask STRING,
  reference STRING,
  source STRING,
  stage STRING,
  error STRING,
  message STRING,
  failed_at TIMESTAMP,
  known_since STRING
)
WITH PARTITION COLUMNS (run_id STRING)
OPTIONS (format = 'PARQUET', hive_partition_uri_prefix = 'OUTPUT/failures', uris = ['OUTPUT/failures/*']);

-- While a run goes on, its folder holds journals, whose rows the part files repeat at the end.
CREATE OR REPLACE VIEW hdnet.metrics AS
SELECT * FROM hdnet.metrics_files WHERE REGEXP_CONTAINS(_FILE_NAME, '/part-[^/]*$');

CREATE OR REPLACE VIEW hdnet.failures AS
SELECT * FROM hdnet.failures_files WHERE REGEXP_CONTAINS(_FILE_NAME, '/part-[^/]*$');
