-- ARGV[3]: id.
return position(ARGV[3])
