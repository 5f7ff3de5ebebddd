"""The keeper: one detached process a workspace and machine; owns the local coordinator's life and workers.

    plan.py         what to do, as pure functions
    processes.py    a process that is watched, our child or not
    registry.py     which workers there are, remembered over the keeper's own restarts
    clean_up.py     what a dead worker left behind
    deaths.py       who died is cleaned up after and reported
    chores.py       work off the loop
    coordinator.py  starting the coordinator, noticing its end
    link.py         the keeper as a client: pools, worker ids, deaths, drains
    fleet.py        starting, adopting and ending workers
    keeper.py       the loop

    coordinator <-- flock, pidfd, exit code --- keeper --- pidfd --> worker, worker, ...
         ^                                        |
         +------- Watch pools, report deaths -----+

Two keepers are kept apart by an flock; each process here outlives the others. What is lost when one of them
is killed is found again: the coordinator by its flock and file, workers by workers.json and marks in /proc.
"""
