//! The report's texts, both languages side by side.
//!
//! May depend on the shape of a word only. One reason: who changes a sentence sees the other one.

use super::words::Word;

macro_rules! words {
    ($($key:literal => $en:literal, $fr:literal;)*) => {
        &[$(Word { key: $key, en: $en, fr: $fr }),*]
    };
}

/// Every text. Spaces that do not break are written as `\u{a0}` (before a colon, between a
/// figure and its unit) and `\u{202f}` (before `;`, `!`, `?`).
pub const TABLE: &[Word] = words! {
    "title" => "Evidence: {host}", "Preuves\u{a0}: {host}";
    "kind.apply" => "Report of an apply", "Rapport d’une application";
    "kind.verify" => "Report of a verification", "Rapport d’une vérification";
    "kind.evidence" => "Report of the evidence", "Rapport de preuves";
    "skip" => "Skip to the content", "Aller au contenu";
    "nav" => "On this page", "Sur cette page";

    "verdict.passed" => "Everything is as it shall be", "Tout est conforme";
    "verdict.warning" => "As it shall be, with warnings", "Conforme, avec des avertissements";
    "verdict.failed" => "Not as it shall be", "Non conforme";
    "verdict.not_run" => "Could not be found out", "N’a pas pu être établi";
    "verdict.not_applicable" => "Nothing was asked for", "Rien n’était demandé";
    "verdict.unverified" => "The run went well; nothing was verified", "L’exécution a réussi\u{202f}; rien n’a été vérifié";
    "verdict.interrupted" => "The run was ended early: this is the evidence of a part of it.", "L’exécution a été interrompue\u{a0}: ces preuves n’en couvrent qu’une partie.";
    "verdict.check_mode" => "Check mode: nothing was changed.", "Mode contrôle\u{a0}: rien n’a été modifié.";
    "verdict.problems" => "What is wrong", "Ce qui ne va pas";
    "verdict.cause" => "because", "cause";
    "verdict.hint" => "what to do", "que faire";
    "tally" => "{n} check|{n} checks", "{n} contrôle|{n} contrôles";

    "count.passed" => "{n} passed|{n} passed", "{n} réussi|{n} réussis";
    "count.warning" => "{n} warning|{n} warnings", "{n} avertissement|{n} avertissements";
    "count.failed" => "{n} failed|{n} failed", "{n} échec|{n} échecs";
    "count.not_run" => "{n} not run|{n} not run", "{n} non exécuté|{n} non exécutés";
    "count.not_applicable" => "{n} not applicable|{n} not applicable", "{n} sans objet|{n} sans objet";

    "outcome.passed" => "passed", "réussi";
    "outcome.warning" => "warning", "avertissement";
    "outcome.failed" => "failed", "échec";
    "outcome.not_run" => "not run", "non exécuté";
    "outcome.not_applicable" => "not applicable", "sans objet";

    "step.unchanged" => "unchanged", "inchangé";
    "step.changed" => "changed", "modifié";
    "step.would_change" => "would change", "serait modifié";
    "step.deferred" => "cannot be judged yet", "pas encore jugeable";
    "step.failed" => "failed", "échec";
    "step.not_reached" => "not reached", "non atteint";
    "step.unfinished" => "not finished", "inachevé";
    "disruption.none" => "nobody notices", "sans interruption";
    "disruption.pod_restart" => "the database restarts", "la base redémarre";
    "disruption.k3s_restart" => "k3s restarts, pods stay", "k3s redémarre, les pods restent";

    "facts.title" => "The run", "L’exécution";
    "facts.host" => "Host", "Hôte";
    "facts.release" => "Release", "Release";
    "facts.when" => "When", "Date";
    "facts.who" => "By", "Par";
    "facts.who_from" => "{user} from {from}", "{user} depuis {from}";
    "facts.took" => "Took", "Durée";
    "facts.level" => "Level", "Niveau";
    "facts.exit" => "Exit code", "Code de sortie";
    "facts.command" => "Command", "Commande";
    "facts.id" => "Run", "Exécution";
    "facts.clock" => "Node’s clock", "Horloge du nœud";
    "clock.same" => "agrees with the laptop’s", "accordée à celle du poste";
    "clock.ahead" => "{by} ahead of the laptop’s", "en avance de {by} sur le poste";
    "clock.behind" => "{by} behind the laptop’s", "en retard de {by} sur le poste";
    "level.static" => "only reads", "lecture seule";
    "level.probe" => "reads, logins and probe pods", "lecture, connexions et pods sondes";
    "level.disruptive" => "with restarts", "avec redémarrages";
    "unknown" => "not known", "inconnu";

    "criteria.title" => "Acceptance criteria", "Critères d’acceptation";
    "criteria.intro" => "What this run shows of each criterion. What nobody looked at is never called met.", "Ce que cette exécution établit pour chaque critère. Ce que personne n’a regardé n’est jamais dit satisfait.";
    "criteria.met" => "{n} of {all} met|{n} of {all} met", "{n} sur {all} satisfait|{n} sur {all} satisfaits";
    "criterion.deployed" => "The pinned chart is deployed, and its images are there", "Le chart épinglé est déployé, ses images sont présentes";
    "criterion.storage" => "The volume is bound to local-path, where it was declared", "Le volume est lié à local-path, là où il a été déclaré";
    "criterion.reachable" => "The authorised workloads reach the database, and nobody else does", "Les charges autorisées atteignent la base, et personne d’autre";
    "criterion.credentials" => "Credentials come from encrypted secrets", "Les identifiants proviennent de secrets chiffrés";
    "criterion.persistence" => "Data outlive restarts of the pod and of the node", "Les données survivent aux redémarrages du pod et du nœud";
    "criterion.metrics" => "The database’s metrics reach the monitoring", "Les métriques de la base parviennent à la supervision";
    "criterion.evidence" => "Evidence is captured: logs, command output, resource states", "Les preuves sont conservées\u{a0}: journaux, sorties de commandes, états des ressources";
    "criterion.documents" => "Runbook and decision records are up to date", "Le guide d’exploitation et les décisions d’architecture sont à jour";
    "state.met" => "met", "satisfait";
    "state.met_with_warnings" => "met, with warnings", "satisfait, avec avertissements";
    "state.partly" => "shown in part", "établi en partie";
    "state.not_shown" => "not run", "non exécuté";
    "state.not_met" => "not met", "non satisfait";
    "state.not_asked" => "not asked for", "non demandé";
    "state.by_reading" => "not judged here", "non jugé ici";
    "gap.level" => "The level of this run does not show all of it.", "Le niveau de cette exécution n’en établit pas la totalité.";
    "gap.not_run" => "A check that it needs was not run.", "Un contrôle nécessaire n’a pas été exécuté.";
    "gap.node_restart" => "A restart of the node was not tried (--disruptive=node).", "Le redémarrage du nœud n’a pas été essayé (--disruptive=node).";
    "gap.encryption" => "Whether the inventory’s secrets are encrypted was not recorded.", "Le chiffrement des secrets de l’inventaire n’a pas été relevé.";
    "gap.clear_text" => "A secret stands in clear in the inventory.", "Un secret figure en clair dans l’inventaire.";
    "gap.missing" => "Not everything could be read; see below.", "Tout n’a pas pu être lu\u{a0}; voir plus bas.";
    "gap.interrupted" => "The run was ended early.", "L’exécution a été interrompue.";
    "criterion.documents.note" => "No run can show it: docs/runbook.md and docs/adr of the project are to be read.", "Aucune exécution ne peut l’établir\u{a0}: lire docs/runbook.fr.md et docs/adr du projet.";
    "criterion.evidence.note" => "{n} file in this folder.|{n} files in this folder.", "{n} fichier dans ce dossier.|{n} fichiers dans ce dossier.";

    "checks.title" => "Checks", "Contrôles";
    "checks.none" => "No checks ran.", "Aucun contrôle n’a été exécuté.";
    "checks.measured" => "What was measured", "Ce qui a été mesuré";
    "checks.failing" => "decides the verdict", "décide du verdict";
    "short.release" => "Release", "Release";
    "short.storage" => "Storage", "Stockage";
    "short.credentials" => "Credentials", "Identifiants";
    "short.network.policy" => "Network policies", "Politiques réseau";
    "short.network.allowed" => "Clients get in", "Les clients entrent";
    "short.network.denied" => "Others kept out", "Les autres dehors";
    "short.network.exposure" => "No way from outside", "Aucun accès externe";
    "short.metrics" => "Metrics", "Métriques";
    "short.images" => "Images", "Images";
    "short.restart.safety" => "Safe restarts", "Redémarrages sûrs";
    "short.persistence" => "Data persist", "Données persistantes";
    "check.release" => "The release is as pinned, every object of it as rendered, and its pod ready", "La release est telle qu’épinglée, chaque objet tel que rendu, et son pod prêt";
    "check.storage" => "The volume lies where it shall, is kept, and has room", "Le volume est à sa place, conservé, et dispose d’espace";
    "check.credentials" => "The Secret is the inventory’s, and its values stand nowhere else", "Le Secret est celui de l’inventaire, et ses valeurs ne figurent nulle part ailleurs";
    "check.network.policy" => "The network policies let in whom the settings name, and nobody else", "Les politiques réseau admettent ceux que les réglages nomment, et personne d’autre";
    "check.network.allowed" => "Pods with the clients’ labels get in", "Les pods portant les étiquettes des clients peuvent entrer";
    "check.network.denied" => "Other pods are kept out", "Les autres pods restent dehors";
    "check.network.exposure" => "Nothing leads to the database from outside", "Rien ne mène à la base depuis l’extérieur";
    "check.metrics" => "The exporter measures the database, and the monitoring may ask it", "L’exporteur mesure la base, et la supervision peut l’interroger";
    "check.images" => "Every image of the release is on the node or can be pulled", "Chaque image de la release est sur le nœud ou peut y être récupérée";
    "check.restart.safety" => "Probes and time-outs leave a recovery the time that it needs", "Sondes et délais laissent à une reprise le temps nécessaire";
    "check.persistence" => "What was committed outlives a restart", "Ce qui a été validé survit à un redémarrage";

    "timeline.title" => "What happened when", "Déroulement";
    "timeline.none" => "No times are known.", "Aucun horaire n’est connu.";
    "timeline.svg" => "Steps and checks over time", "Étapes et contrôles dans le temps";
    "timeline.desc" => "{n} step or check in {total}. The list below has the same as text.|{n} steps and checks in {total}. The list below has the same as text.", "{n} étape ou contrôle en {total}. La liste ci-dessous dit la même chose en texte.|{n} étapes et contrôles en {total}. La liste ci-dessous dit la même chose en texte.";
    "timeline.readiness" => "The database", "La base";
    "timeline.marks" => "Observed", "Observations";
    "timeline.list" => "As text", "En texte";
    "timeline.at" => "after {from}, for {took}", "après {from}, pendant {took}";
    "timeline.span" => "{state}: from {from} to {to}", "{state}\u{a0}: de {from} à {to}";
    "timeline.no_readiness" => "This run did not wait for the database, so its readiness over time was not observed.", "Cette exécution n’a pas attendu la base\u{a0}: sa disponibilité dans le temps n’a pas été observée.";
    "timeline.more" => "{n} more is not drawn.|{n} more are not drawn.", "{n} autre n’est pas dessiné.|{n} autres ne sont pas dessinés.";
    "ready.ready" => "ready", "prête";
    "ready.waiting" => "not ready yet", "pas encore prête";
    "ready.stuck" => "stuck", "bloquée";
    "ready.unknown" => "not looked at", "non observée";
    "change.absent" => "absent", "absent";

    "topology.title" => "Who may connect", "Qui peut se connecter";
    "topology.svg" => "Who may connect to the database, and where its data lie", "Qui peut se connecter à la base, et où sont ses données";
    "topology.desc" => "On one side those who connect or try to, then the network policy, then service, pod, volume and directory. The list below has the same as text.", "D’un côté ceux qui se connectent ou essaient, puis la politique réseau, puis service, pod, volume et répertoire. La liste ci-dessous dit la même chose en texte.";
    "topology.outside" => "Outside the cluster", "Hors du cluster";
    "topology.policy" => "Network policy", "Politique réseau";
    "topology.no_policy" => "No policy: open to all", "Aucune politique\u{a0}: ouvert à tous";
    "topology.policy_unread" => "Policy not read", "Politique non lue";
    "topology.service" => "Service", "Service";
    "topology.pod" => "Pod", "Pod";
    "topology.claim" => "Volume claim", "Demande de volume";
    "topology.volume" => "Volume", "Volume";
    "topology.directory" => "Directory on the node", "Répertoire du nœud";
    "topology.port" => "port\u{a0}{port}", "port\u{a0}{port}";
    "topology.tried" => "tried at", "essayé à";
    "topology.beyond" => "No policy can keep out", "Aucune politique ne peut exclure";
    "topology.ways" => "Ways in", "Chemins d’accès";
    "topology.more" => "and {n} more, in the list|and {n} more, in the list", "et {n} autre, dans la liste|et {n} autres, dans la liste";
    "caller.in" => "gets in", "entre";
    "caller.in_policy" => "let in by the policies, not tried", "admis par les politiques, non essayé";
    "caller.out" => "kept out", "refusé";
    "caller.in_bad" => "gets in, though the settings do not name them", "entre, sans être nommé par les réglages";
    "caller.in_policy_bad" => "let in by the policies, though the settings do not name them", "admis par les politiques, sans être nommé par les réglages";
    "caller.out_bad" => "kept out, though the settings name them", "refusé, bien que nommé par les réglages";
    "caller.out_policy_bad" => "no policy lets them in, though the settings name them", "admis par aucune politique, bien que nommé par les réglages";
    "caller.mixed" => "gets in at some addresses only", "n’entre qu’à certaines adresses";
    "caller.unclear" => "tried, but it proves nothing", "essayé, sans que cela prouve rien";
    "caller.unknown" => "not tried", "non essayé";
    "outside.none" => "no way in was found", "aucun accès trouvé";
    "outside.private" => "{n} way in, from private networks only|{n} ways in, from private networks only", "{n} accès, depuis des réseaux privés seulement|{n} accès, depuis des réseaux privés seulement";
    "outside.open" => "{n} way in|{n} ways in", "{n} accès|{n} accès";
    "outside.unknown" => "nobody looked", "personne n’a regardé";
    "yes" => "yes", "oui";
    "no" => "no", "non";

    "storage.title" => "Storage", "Stockage";
    "storage.claim" => "Claim", "Demande";
    "storage.volume" => "Volume", "Volume";
    "storage.class" => "Class", "Classe";
    "storage.size" => "Size asked for", "Taille demandée";
    "storage.policy" => "When the claim goes", "Si la demande disparaît";
    "storage.retain" => "the data stay (Retain)", "les données restent (Retain)";
    "storage.delete" => "the data are deleted (Delete)", "les données sont supprimées (Delete)";
    "storage.directory" => "Directory", "Répertoire";
    "storage.owner" => "Owner and mode", "Propriétaire et mode";
    "storage.major" => "Written by PostgreSQL", "Écrit par PostgreSQL";
    "storage.inodes" => "Free inodes", "Inodes libres";
    "storage.space" => "File system", "Système de fichiers";
    "storage.svg" => "Use of the file system", "Occupation du système de fichiers";
    "storage.use" => "{data} by the database, {other} by others, {free} free of {total}", "{data} par la base, {other} par d’autres, {free} libres sur {total}";
    "storage.use_all" => "{used} used, {free} free of {total}", "{used} occupés, {free} libres sur {total}";
    "storage.none" => "Nothing is known of the storage.", "Rien n’est connu du stockage.";
    "storage.note" => "local-path does not enforce sizes: the whole file system is what there is.", "local-path n’impose pas de taille\u{a0}: tout le système de fichiers est disponible.";

    "versions.title" => "Versions and digests", "Versions et empreintes";
    "versions.none" => "No versions are known.", "Aucune version n’est connue.";
    "component.monopg" => "monopg", "monopg";
    "component.node_os" => "Operating system", "Système d’exploitation";
    "component.kernel" => "Kernel", "Noyau";
    "component.k3s" => "k3s", "k3s";
    "component.helm" => "Helm", "Helm";
    "component.chart" => "Chart", "Chart Helm";
    "component.values" => "Values", "Valeurs";
    "component.inventory" => "Inventory", "Inventaire";
    "component.postgresql" => "PostgreSQL", "PostgreSQL";
    "component.image" => "Image", "Image";
    "component.node_file" => "File on the node", "Fichier du nœud";
    "component.exporter" => "Exporter", "Exporteur";

    "commands.title" => "Commands", "Commandes";
    "commands.intro" => "What was run on the node, in order.", "Ce qui a été exécuté sur le nœud, dans l’ordre.";
    "commands.none" => "No commands were kept.", "Aucune commande n’a été conservée.";
    "commands.at" => "After", "Après";
    "commands.line" => "Command", "Commande";
    "commands.exit" => "Exit", "Code";
    "commands.took" => "Took", "Durée";
    "commands.no_exit" => "none", "aucun";

    "redactions.title" => "What was taken out", "Ce qui a été retiré";
    "redactions.total" => "{n} secret value was taken out.|{n} secret values were taken out.", "{n} valeur secrète a été retirée.|{n} valeurs secrètes ont été retirées.";
    "missing.title" => "What could not be read", "Ce qui n’a pas pu être lu";
    "missing.none" => "Everything that was asked for could be read.", "Tout ce qui était demandé a pu être lu.";
    "files.title" => "Files", "Fichiers";
    "files.count" => "{n} file|{n} files", "{n} fichier|{n} fichiers";
    "files.none" => "No files are listed.", "Aucun fichier n’est listé.";
    "rest" => "{n} more is in {file}.|{n} more are in {file}.", "{n} autre est dans {file}.|{n} autres sont dans {file}.";

    "footer.by" => "Made by monopg {version}. Texts in English come from the run itself and are shown as they were.", "Produit par monopg {version}. Les textes en anglais proviennent de l’exécution et sont montrés tels quels.";
    "footer.not" => "This report is a picture of one moment. docs/verify.md says of each check what it does not prove.", "Ce rapport est l’image d’un instant. docs/verify.fr.md dit, pour chaque contrôle, ce qu’il ne prouve pas.";

    "date" => "{day} {month} {year}, {time} UTC", "{day} {month} {year} à {time} UTC";
    "month.1" => "January", "janvier";
    "month.2" => "February", "février";
    "month.3" => "March", "mars";
    "month.4" => "April", "avril";
    "month.5" => "May", "mai";
    "month.6" => "June", "juin";
    "month.7" => "July", "juillet";
    "month.8" => "August", "août";
    "month.9" => "September", "septembre";
    "month.10" => "October", "octobre";
    "month.11" => "November", "novembre";
    "month.12" => "December", "décembre";
    "unit.b" => "{n}\u{a0}B", "{n}\u{a0}o";
    "unit.kib" => "{n}\u{a0}KiB", "{n}\u{a0}Kio";
    "unit.mib" => "{n}\u{a0}MiB", "{n}\u{a0}Mio";
    "unit.gib" => "{n}\u{a0}GiB", "{n}\u{a0}Gio";
    "unit.tib" => "{n}\u{a0}TiB", "{n}\u{a0}Tio";
    "unit.pib" => "{n}\u{a0}PiB", "{n}\u{a0}Pio";
    "unit.ms" => "{n}\u{a0}ms", "{n}\u{a0}ms";
    "unit.s" => "{n}\u{a0}s", "{n}\u{a0}s";
    "unit.min_s" => "{m}\u{a0}min {s}\u{a0}s", "{m}\u{a0}min {s}\u{a0}s";
    "unit.min" => "{n}\u{a0}min", "{n}\u{a0}min";
    "unit.h_min" => "{h}\u{a0}h {m}\u{a0}min", "{h}\u{a0}h {m}\u{a0}min";
    "colon" => ": ", "\u{a0}: ";
};
