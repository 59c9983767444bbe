-- ARGV[3..]: name of the idempotency key, its fingerprint. Returns what became of it, the id and the job.
return replay(ARGV[3], ARGV[4]) or { 'unknown', '', {} }
