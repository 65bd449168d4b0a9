-- Run one of these with bq query --nouse_legacy_sql --parameter=run::2026-11-20T01-00-00Z 'SELECT ...'

-- 1. The nights: how many images, how fast, how good.
SELECT
  run_id,
  COUNT(*) AS images,
  SUM(CAST(width AS FLOAT64) * height) / 1e6 AS megapixels,
  SUM(seconds_read + seconds_network + seconds_write + seconds_score) / 3600 AS worker_hours,
  SUM(seconds_network) / SUM(CAST(width AS FLOAT64) * height / 1e6) AS network_seconds_per_megapixel,
  AVG(delta_e) AS delta_e,
  AVG(gap_after - gap_before) AS gap_change,
  COUNTIF(flags != '') / COUNT(*) AS flagged
FROM hdnet.metrics
GROUP BY run_id
ORDER BY run_id DESC;

-- 2. What failed in a run, the most frequent first, each with one message to start from.
SELECT stage, error, COUNT(*) AS pairs, MIN(source) AS source, MIN(message) AS message
FROM hdnet.failures
WHERE run_id = @run
GROUP BY stage, error
ORDER BY pairs DESC, stage, error;

-- 3. What a person should look at in a run.
SELECT id, flags, delta_e, gap_before, gap_after, newly_clipped_ratio, output
FROM hdnet.metrics
WHERE run_id = @run AND flags != ''
ORDER BY LENGTH(flags) - LENGTH(REPLACE(flags, ',', '')) DESC, gap_after - gap_before DESC, id
LIMIT 100;

-- 4. What delays a run: its slowest images, each with its share of all the work.
SELECT
  id,
  CAST(width AS FLOAT64) * height / 1e6 AS megapixels,
  seconds_read,
  seconds_network,
  seconds_write,
  seconds_score,
  (seconds_read + seconds_network + seconds_write + seconds_score)
    / SUM(seconds_read + seconds_network + seconds_write + seconds_score) OVER () AS share
FROM hdnet.metrics
WHERE run_id = @run
ORDER BY share DESC, id
LIMIT 100;

-- 5. Canary: the same images with the current weights (@run) and with new ones (@canary).
SELECT
  COUNT(*) AS images,
  AVG(after.gap_after - before.gap_after) AS gap_after_change,
  COUNTIF(after.gap_after < before.gap_after) / COUNT(*) AS closer_to_background,
  AVG(after.delta_e - before.delta_e) AS delta_e_change,
  AVG(after.newly_clipped_ratio - before.newly_clipped_ratio) AS newly_clipped_change,
  AVG(after.psnr - before.psnr) AS psnr_change,
  COUNTIF(after.flags != '') - COUNTIF(before.flags != '') AS more_flagged,
  AVG(SAFE_DIVIDE(after.seconds_network, before.seconds_network)) AS network_time_ratio
FROM hdnet.metrics AS before
JOIN hdnet.metrics AS after USING (id)
WHERE before.run_id = @run AND after.run_id = @canary;
