"""Many runs: several seeds at a time on one machine, and jobs on a cluster."""
