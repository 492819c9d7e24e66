-- Resets that have no row, by their common properties, most first: lost ones, and those of storms,
-- which were counted and are in all other reports.
select
    host,
    stage,
    sum(case when stage = 'counted' then 0 else count end) as lost,
    sum(case when stage = 'counted' then count else 0 end) as counted,
    min(from_time) as first_from,
    max(to_time) as last_to,
    callee,
    caller,
    reason,
    netns_id,
    src_port
from losses
{where}
group by host, stage, callee, caller, reason, netns_id, src_port
order by lost desc, counted desc, first_from
