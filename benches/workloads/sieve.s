; The sieve of Eratosthenes over the input memory after the 8 bytes of its length, one byte a number; gives the count of primes.
    r2 = *(u64 *)(r1 + 0)
    r1 += 8
    r0 = 0
    r3 = 0
clear:
    r4 = r1
    r4 += r3
    *(u8 *)(r4 + 0) = 0
    r3 += 1
    if r3 < r2 goto clear
    r3 = 2
outer:
    if r3 >= r2 goto out
    r4 = r1
    r4 += r3
    r5 = *(u8 *)(r4 + 0)
    if r5 != 0 goto next
    r0 += 1
    r6 = r3
    r6 *= r3
inner:
    if r6 >= r2 goto next
    r4 = r1
    r4 += r6
    *(u8 *)(r4 + 0) = 1
    r6 += r3
    goto inner
next:
    r3 += 1
    goto outer
out:
    exit
