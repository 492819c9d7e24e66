-- Kernel stacks and the number of resets of each, most first.
select coalesce(stack, '(no stack)') as stack, resets
from (
    select stack, count(*) as resets
    from resets
    {where}
    group by stack
)
order by resets desc, stack
