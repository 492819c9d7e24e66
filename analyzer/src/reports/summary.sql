-- Resets by {title}.
with counted as (
    -- Counts by plain columns, so that the rollup per minute can answer the query.
    select
        {selected},
        count(*) as resets
    from resets
    {where}
    group by {grouped}
), named as (
    select
        {named},
        sum(resets) as resets
    from counted
    group by {places}
)
select {names}, resets, round(100.0 * resets / sum(resets) over (), 1) as percent
from named
order by {order}
{limit}
