-- Resets in steps of {step}; a step without resets is a row with 0.
with counted as (
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
), steps as (
    select unnest(generate_series(
        {first},
        {last},
        interval '{step}'
    )) as "time"
)
select
    s."time",
    {shown}
    coalesce(n.resets, 0) as resets{bar}
from steps as s left join named as n on s."time" = n."time"
order by {order}
