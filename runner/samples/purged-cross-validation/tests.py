assert scores["random folds"] > scores["purged, with embargo"] + 0.1
