"""From a posterior to a decision: diagnosis, verdict, reports and run folders."""
