-- The number of resets of one cause in this recording, and their first and last minute.
with minutes as (
    select date_trunc('minute', time) as minute, count(*) as resets
    from resets
    {where}
    group by date_trunc('minute', time)
), everything as (
    select count(*) as of_all
    from resets
    {window}
)
select
    coalesce(sum(resets), 0) as resets,
    min(minute) as first,
    max(minute) as last,
    (select of_all from everything) as of_all
from minutes
