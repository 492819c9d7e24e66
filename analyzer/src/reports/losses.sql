-- Resets that were seen but not recorded, by their common properties, most first.
select
    host,
    stage,
    sum(count) as lost,
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
order by lost desc, first_from
