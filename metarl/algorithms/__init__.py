"""What learns across tasks: the meta-learners, one file each that reads like its paper, and what they share.

promp, maml          policy gradients through inner loops; meta_gradient is what the two share
rl2                  memories trained over trials
rma                  a teacher that is told the task, and a student with a memory that finds it out
reptile              outer loop over any inner learner
recurrent_sac, pearl soft actor-critic on a store of whole trials; off_policy is what the two share
es_maml, plasticity  evolution; evolution.py is the strategies that both use
baselines            what meta-learning has to beat
learners             from a config to the learner it names
"""
