"""What several messages of the two commands say, French first."""

COMMAND_LINE = "ligne de commande / command line"
NO_SCOPE = "pas une portée / not a scope"
SCOPE_REMEDY = "Écrire une de ces formes / Write city, district:NAME or site:GATEWAY."
ANOTHER_PLACE = "Choisir un autre endroit / Choose another place."
WRITE_FIELDS = "Écrire des champs et leurs valeurs / Write fields and their values."
