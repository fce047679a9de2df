-- Holds a request while no server of the backend "leader" is up, for up to 10 s:
-- then HAProxy's own 503 answers it. haproxy-tuned.cfg uses it where it is told to.

local longest, pause = 10000, 10 -- milliseconds

core.register_action("hold_for_leader", { "http-req" }, function(txn)
    for _ = 1, longest / pause do
        if txn.f:nbsrv("leader") > 0 then
            return
        end
        core.msleep(pause)
    end
end)
