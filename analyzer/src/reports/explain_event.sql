-- One reset, by its key.
select {columns}
from resets
{where}
order by time, host, cpu, seq
limit {limit}
