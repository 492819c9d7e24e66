-- Recorded segments, oldest first. The newest may still be growing: `sealed` is false,
-- and what it saw and lost is known when it is sealed.
select path, host, recorded_from, recorded_to, seen, written, lost, rows, bytes, sealed, recovered
from files
{where}
order by recorded_from, path
