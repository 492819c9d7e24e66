-- Resets by {title}: window a against window b, the largest change first.
--
-- `confidence` is 1 - p of an exact test that both windows have the same rate (Poisson processes;
-- the test is binomial), after Holm's correction for the number of rows. Counts are first divided
-- by their index of dispersion per minute, because resets come in bursts and one burst of 1,000 is
-- not better proof than one reset. If only the plain counts differ, the verdict is `burst`.
with a as (
    select
        {selected},
        date_trunc('minute', time) as minute,
        count(*) as n
    from resets
    {where_a}
    group by {grouped}, date_trunc('minute', time)
), b as (
    select
        {selected},
        date_trunc('minute', time) as minute,
        count(*) as n
    from resets
    {where_b}
    group by {grouped}, date_trunc('minute', time)
), minutes as (
    select
        {named},
        minute,
        sum(n) as a,
        0 as b
    from a
    group by {places}, minute
    union all
    select
        {named},
        minute,
        0 as a,
        sum(n) as b
    from b
    group by {places}, minute
), counted as (
    select
        {names},
        sum(a) as a,
        sum(b) as b,
        -- Sums of squares about the mean of each window, relative to those of pure chance.
        greatest(1, (
            sum(a * a) - sum(a) * sum(a) / {minutes_a} + sum(b * b) - sum(b) * sum(b) / {minutes_b}
        ) / {freedom} / ((sum(a) + sum(b)) / {minutes})) as dispersion
    from minutes
    group by {names}
), tested as (
    select
        *,
        3600.0 * a / {seconds_a} as a_per_hour,
        3600.0 * b / {seconds_b} as b_per_hour,
        rate_change_p(a / dispersion, {seconds_a}, b / dispersion, {seconds_b}) as p,
        rate_change_p(a, {seconds_a}, b, {seconds_b}) as p_plain
    from counted
), placed as (
    select *, row_number() over (order by p, {names}) as place, count(*) over () as compared
    from tested
), corrected as (
    select
        *,
        least(1, max(p * (compared - place + 1)) over (order by place)) as p_of_all
    from placed
)
select
    {names},
    a,
    b,
    round(a_per_hour, 2) as a_per_hour,
    round(b_per_hour, 2) as b_per_hour,
    round(b_per_hour - a_per_hour, 2) as change,
    round(b_per_hour / nullif(a_per_hour, 0), 2) as factor,
    round(100 * (1 - p_of_all), 1) as confidence,
    case
        when a = 0 then 'new'
        when b = 0 then 'gone'
        when p_of_all > 0.05 and p_plain * compared <= 0.05 then 'burst'
        when p_of_all > 0.05 then 'same'
        when b_per_hour > a_per_hour then 'up'
        else 'down'
    end as verdict
from corrected
order by abs(b_per_hour - a_per_hour) desc, {names}
{limit}
