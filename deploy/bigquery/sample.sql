-- About one image in a hundred (3 of 256) as the manifest of a canary, always the same ones.
SELECT id, composite, mask, reference
FROM hdnet.metrics
WHERE SUBSTR(TO_HEX(MD5(id)), 1, 2) < '03'
QUALIFY ROW_NUMBER() OVER (PARTITION BY id ORDER BY harmonized_at DESC) = 1
ORDER BY id;
