-- How often resets of one cause are in this recording.
select
    count(*) as resets,
    min(time) as first,
    max(time) as last,
    (
        select count(*)
        from resets
        {window}
    ) as of_all
from resets
{where}
