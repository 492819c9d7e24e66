-- Recorded segments, oldest first. The newest may still be growing: then `sealed` is false,
-- and `seen`, `counted` and `lost` are known only after it is sealed.
select path, host, recorded_from, recorded_to, seen, written, counted, lost, rows, bytes, sealed, recovered
from files
{where}
order by recorded_from, path
