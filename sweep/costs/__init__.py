"""What a plan costs, before, while and after it runs.

estimate.py     the forecast of a plan on this machine: what is timed (calibration.py, finished_units.py) and what it
                adds up to (forecast.py, storage.py, time_left.py); forecast_file.py keeps it
occupancy.py    what a run is charged for
account.py      what has been used; tables.py shows it beside the forecast
"""
