-- The most resets by {title}, and the most frequent cause of each.
with counted as (
    select
        {selected},
        cause as why,
        count(*) as resets
    from resets
    {where}
    group by {grouped}, cause
), named as (
    select
        {named},
        why,
        sum(resets) as resets
    from counted
    group by {places}, why
), ranked as (
    select
        {names},
        sum(resets) as resets,
        round(100.0 * sum(resets) / sum(sum(resets)) over (), 1) as percent,
        first_value(why order by resets desc, why) as mostly
    from named
    group by {names}
)
select {shown}, resets, percent, mostly
from ranked
where {present}
order by resets desc, {names}
limit {limit}
